"""The index of what crawls have found: kept in step with registries, shared, and never in the way when it breaks."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from fair_dagster.catalog.pgstac.crawls import PgstacRows
from fair_dagster.domain.errors import StorageError
from fair_dagster.flows.registries.crawling import open_index
from fair_dagster.flows.services import Services
from fair_dagster.oci.crawl.index import CrawlIndex
from fair_dagster.oci.crawl.rows import SqliteRows
from fair_dagster.oci.crawl.walking import Event, FoundArtifact, Target, Walked, WalkFailure
from fair_dagster.oci.references import Reference
from fair_dagster.settings import Settings
from tests.services.servers import PostgresServer

PLACE = Reference("registry.example.org", "team/ramp")
OTHER = Reference("registry.example.org", "team/other")


def found(tag: str, digest: str = "a", place: Reference = PLACE) -> FoundArtifact:
    reference, full = place.with_tag(tag), f"sha256:{digest * 64}"
    return FoundArtifact(reference, full, {"reference": str(reference), "digest": full, "metadata": {"name": tag}})


def failed(tag: str) -> WalkFailure:
    reference = PLACE.with_tag(tag)
    return WalkFailure(str(reference), "503", reference)


@pytest.fixture(params=["a file", "a database"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], CrawlIndex]]:
    """Opens an index once more: there are two places where rows are kept."""
    made = []
    dsn = SecretStr(request.getfixturevalue("pgstac_database")) if request.param == "a database" else None

    def start() -> CrawlIndex:
        rows = SqliteRows(tmp_path / "cache" / "oci-index.sqlite") if dsn is None else PgstacRows(dsn)
        made.append(CrawlIndex(rows))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture
def index(opened: Callable[[], CrawlIndex]) -> CrawlIndex:
    return opened()


def record(index: CrawlIndex, *events: Event) -> None:
    assert list(index.recorded(events)) == list(events)


def kept(index: CrawlIndex, *targets: str) -> list[str]:
    return [str(one.reference) for one in index.all([Target.parse(text) for text in targets])]


def test_what_was_found_is_known_with_its_metadata(index: CrawlIndex) -> None:
    record(index, found("v1"), found("v2"), Walked(PLACE))
    assert index.known(PLACE) == {"v1": found("v1"), "v2": found("v2")}
    record(index, found("v1", "b"), found("v2"), Walked(PLACE))
    assert index.known(PLACE)["v1"].digest == f"sha256:{'b' * 64}"
    assert index.known(OTHER) == {}


def test_what_is_gone_is_forgotten_and_what_could_not_be_read_is_not(index: CrawlIndex) -> None:
    record(index, found("v1"), found("v2"), found("v3"), Walked(PLACE), found("v1", place=OTHER), Walked(OTHER))
    record(index, found("v1"), failed("v2"), Walked(PLACE))
    assert sorted(index.known(PLACE)) == ["v1", "v2"]
    assert sorted(index.known(OTHER)) == ["v1"]


def test_a_walk_that_did_not_end_removes_nothing(index: CrawlIndex) -> None:
    record(index, found("v1"), found("v2"), Walked(PLACE))
    record(index, found("v1", "b"), WalkFailure("registry.example.org", "is silent"))
    assert sorted(index.known(PLACE)) == ["v1", "v2"]
    assert index.known(PLACE)["v1"].digest == f"sha256:{'b' * 64}"


def test_a_reader_who_stops_keeps_what_was_found_so_far(index: CrawlIndex) -> None:
    events = index.recorded([found("v1"), found("v2"), Walked(PLACE)])
    next(events)
    events.close()
    assert sorted(index.known(PLACE)) == ["v1"]


def test_it_answers_for_registries_repositories_and_artifacts(index: CrawlIndex) -> None:
    record(index, found("v1"), found("v2"), Walked(PLACE), found("v1", "c", place=OTHER), Walked(OTHER))
    everything = [str(OTHER.with_tag("v1")), str(PLACE.with_tag("v1")), str(PLACE.with_tag("v2"))]
    assert kept(index) == kept(index, "registry.example.org") == everything
    assert kept(index, "elsewhere.example.org") == []
    assert kept(index, "registry.example.org/team/ramp") == everything[1:]
    assert kept(index, "registry.example.org/team/ramp:v2") == everything[2:]
    assert kept(index, f"registry.example.org/team/other@sha256:{'c' * 64}") == everything[:1]


def test_asking_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "oci-index.sqlite"
    assert list(CrawlIndex(SqliteRows(path)).all()) == []
    assert CrawlIndex(SqliteRows(path)).known(PLACE) == {}
    assert not path.parent.exists()


def test_two_write_at_once(opened: Callable[[], CrawlIndex]) -> None:
    first, second = opened(), opened()
    one, two = first.recorded([found("v1"), Walked(PLACE)]), second.recorded([found("v1", place=OTHER), Walked(OTHER)])
    for stream in (one, two, one, two):
        next(stream)
    one.close()
    two.close()
    assert len(list(first.all())) == 2


def test_characters_that_databases_cannot_hold_are_kept(index: CrawlIndex) -> None:
    odd = found("v1")
    odd.document["metadata"]["name"] = "\0 \ud800 ü"
    record(index, odd, Walked(PLACE))
    assert json.dumps(index.known(PLACE)["v1"].document) == json.dumps(odd.document)


def test_a_file_of_another_version_is_begun_anew(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "index.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE artifacts (anything TEXT)")
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    index = CrawlIndex(SqliteRows(path))
    record(index, found("v1"), Walked(PLACE))
    assert kept(index) == [str(PLACE.with_tag("v1"))]
    index.close()


@pytest.mark.parametrize("how", ["damaged", "a folder"])
def test_a_file_that_cannot_be_used_says_what_to_do(tmp_path: Path, how: str) -> None:
    path = tmp_path / "index.sqlite"
    if how == "damaged":
        path.write_bytes(b"no database" * 1000)
    else:
        path.mkdir()
    index = CrawlIndex(SqliteRows(path))
    with pytest.raises(StorageError, match="may be deleted"):
        index.known(PLACE)
    with pytest.raises(StorageError, match="may be deleted"):
        list(index.recorded([found("v1"), Walked(PLACE)]))
    index.close()


def test_a_team_shares_its_index_where_the_database_has_a_place_for_it(
    pgstac_database: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    services = Services(Settings(home=tmp_path, pgstac_dsn=SecretStr(pgstac_database)))
    first = open_index(services.settings)
    record(first, found("v1"), Walked(PLACE))
    first.close()
    other = Services(Settings(home=tmp_path / "other", pgstac_dsn=SecretStr(pgstac_database)))
    second = open_index(other.settings)
    assert kept(second) == [str(PLACE.with_tag("v1"))]
    second.close()

    postgres_server.execute("DROP SCHEMA fair_oci CASCADE", database=pgstac_database.rpartition("/")[2])
    alone = open_index(services.settings)
    record(alone, found("v2"), Walked(PLACE))
    alone.close()
    assert (services.settings.cache_path / "oci-index.sqlite").exists()

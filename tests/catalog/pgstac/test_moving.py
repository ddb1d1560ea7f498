"""Moving catalogs into a real pgstac and back: without loss, as one transaction, also while its server is restarted."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from fair_dagster.catalog.json.store import JsonStore
from fair_dagster.catalog.opening import open_store
from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.fields import COLLECTIONS
from fair_dagster.domain.items.stac import ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.flows.moving import export_catalog, import_catalog
from fair_dagster.settings import Settings
from tests.catalog.moves import awkward, catalog, content
from tests.catalog.sets import LOCAL, create, item, key
from tests.services.servers import PostgresServer

ROOT = Path(__file__).parents[3]


@pytest.fixture
def source(tmp_path: Path) -> JsonStore:
    return catalog(tmp_path / "source")


@pytest.fixture
def settings(tmp_path: Path, pgstac_database: str, stac_api: Callable[[str], str]) -> Settings:
    return Settings(home=tmp_path / "home", catalog=stac_api(pgstac_database), pgstac_dsn=SecretStr(pgstac_database))


def ids(store: CatalogStore) -> list[str]:
    return [item_id for name in COLLECTIONS for item_id in store.ids(name)]


def test_a_catalog_comes_back_as_it_went(source: JsonStore, settings: Settings, tmp_path: Path) -> None:
    there = import_catalog(settings, source.root, "empty")
    back = export_catalog(settings, tmp_path / "back", "empty")
    assert (there.differences, back.differences) == ((), ())
    assert content(JsonStore(tmp_path / "back")) == content(source)


def test_what_the_api_shows_is_what_was_imported(source: JsonStore, settings: Settings) -> None:
    import_catalog(settings, source.root, "empty")
    store = open_store(settings)
    for name in COLLECTIONS:
        shown = {one["id"]: one for one in store.items(name)}
        for one in source.items(name):
            theirs = shown[one["id"]]["properties"]
            assert {n: v for n, v in theirs.items() if one["properties"].get(n) != v} == {}
            assert shown[one["id"]] == one
    document = store.collection(LOCAL)
    assert document["title"] == "Our models"
    assert document["fair:item_count"] == 6


def test_an_imported_catalog_can_be_written(source: JsonStore, settings: Settings) -> None:
    import_catalog(settings, source.root, "empty")
    store = open_store(settings)
    later = item("model-1", 3, datetime="2031-05-01T00:00:00Z")
    former = awkward("model-1", 2, deprecated=True)
    changes = (Change("create", key("model-1", 3), "new", later), Change("update", key("model-1", 2), "old", former))
    store.apply(ChangeSet(changes))
    assert [one["id"] for one in store.family(LOCAL, "model-1")] == ["model-1-v1", "model-1-v2", "model-1-v3"]


def test_repeated_it_writes_nothing(source: JsonStore, settings: Settings, pgstac_database: str) -> None:
    import_catalog(settings, source.root, "empty")
    query = "SELECT id, xmin::text FROM pgstac.items ORDER BY id"
    with psycopg.connect(pgstac_database) as connection:
        before = connection.execute(query).fetchall()
        assert import_catalog(settings, source.root, "empty").differences == ()
        assert connection.execute(query).fetchall() == before


def test_a_database_that_holds_something_else_is_refused(source: JsonStore, settings: Settings) -> None:
    store = open_store(settings)
    store.apply(create("other"))
    store.apply(create("model-1"))
    with pytest.raises(RefusedError, match="other-v1"):
        import_catalog(settings, source.root, "empty")
    assert ids(store) == ["model-1-v1", "other-v1"]
    merged = import_catalog(settings, source.root, "merge")
    assert merged.differences == ()
    assert len(ids(store)) == 9
    assert store.document_problems(LOCAL) == []
    replaced = import_catalog(settings, source.root, "replace")
    assert replaced.differences == ()
    assert sorted(ids(store)) == sorted(ids(source))


def test_what_pgstac_cannot_hold_is_refused_with_all_reasons(source: JsonStore, settings: Settings) -> None:
    bad = {
        "nul": awkward("nul", 1, **{"fair:note": "a\0b"}),
        "nowhere": awkward("nowhere", 1) | {"geometry": None},
        "never": awkward("never", 1, datetime=None),
        "backwards": awkward(
            "backwards", 1, start_datetime="2026-02-01T00:00:00Z", end_datetime="2026-01-01T00:00:00Z"
        ),
        "relative": awkward("relative", 1) | {"links": [{"rel": "about", "href": "paper.pdf"}]},
        "private": awkward("private", 1) | {"private": {"a": 1}},
    }
    source.apply(ChangeSet(tuple(Change("create", key(slug, 1), "new", one) for slug, one in bad.items())))
    with pytest.raises(RefusedError) as refused:
        import_catalog(settings, source.root, "empty")
    problems = [line for line in refused.value.problems if line.startswith(LOCAL)]
    assert {line.split(":")[0] for line in problems} == {str(key(slug, 1)) for slug in bad}
    assert ids(open_store(settings)) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from fair_dagster.flows.moving import import_catalog
from fair_dagster.settings import Settings

def die(done, total, what):
    if what == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

import_catalog(Settings(), Path(sys.argv[1]), "empty", die)
"""


def test_killed_half_way_nothing_is_there_and_a_repeat_completes_it(source: JsonStore, settings: Settings) -> None:
    environment = settings.environment() | {"FAIR_PGSTAC_DSN": settings.pgstac_dsn.get_secret_value()}  # type: ignore[union-attr]
    command = [sys.executable, "-c", KILLED, str(source.root), "writing, local-models"]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    assert done.returncode == -9
    assert ids(open_store(settings)) == []
    assert import_catalog(settings, source.root, "empty").differences == ()


def test_a_restart_of_postgresql_in_the_middle_is_recovered_from(
    source: JsonStore, settings: Settings, postgres_server: PostgresServer
) -> None:
    restarts: list[str] = []

    def restart(_: int, __: int, what: str) -> None:
        if what == "writing, datasets" and not restarts:
            restarts.append(what)
            postgres_server.kill()
            postgres_server.start()

    assert import_catalog(settings, source.root, "empty", restart).differences == ()
    assert restarts
    assert content_of(open_store(settings)) == content_of(source)


def content_of(store: CatalogStore) -> dict[str, object]:
    return {one["id"]: one for name in COLLECTIONS for one in store.items(name)}


def test_a_writer_waits_for_an_import_and_is_not_lost(source: JsonStore, settings: Settings) -> None:
    """A promotion that comes in the middle is neither overwritten nor does it see half of the catalog."""
    store, started, threads = open_store(settings), threading.Event(), []

    def promote() -> None:
        started.set()
        store.apply(create("late"))

    def come_in_between(_: int, __: int, what: str) -> None:
        if what == "writing, datasets" and not threads:
            threads.append(threading.Thread(target=promote))
            threads[0].start()
            started.wait(10)

    store.refresh(LOCAL)
    result = import_catalog(settings, source.root, "replace", come_in_between)
    threads[0].join(60)
    assert not result.differences
    assert store.get(ItemKey(LOCAL, "late-v1")) is not None
    assert sorted(ids(store)) == sorted([*ids(source), "late-v1"])

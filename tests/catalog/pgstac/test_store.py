"""Writing a real pgstac: atomic, one family at a time, whatever the database or other writers do meanwhile."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from fair_dagster.catalog.opening import stac_store
from fair_dagster.catalog.pgstac.connection import Pgstac
from fair_dagster.catalog.pgstac.locks import lock_families
from fair_dagster.catalog.stac_api.patience import Patience
from fair_dagster.catalog.stac_api.store import StacStore
from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain.errors import CatalogError, ConflictError, RefusedError
from fair_dagster.domain.items.stac import ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.settings import Settings
from tests.catalog.sets import LOCAL, active, create, item, key, promotion
from tests.services.servers import PostgresServer, StacApis

QUICK = Patience(attempts=3, first_wait=0.01)


@pytest.fixture
def url(stac_api: StacApis, pgstac_database: str) -> str:
    return stac_api(pgstac_database)


@pytest.fixture
def opener(url: str, pgstac_database: str, tmp_path: Path) -> Callable[[], StacStore]:
    return lambda: opened(url, pgstac_database, tmp_path)


@pytest.fixture
def store(opener: Callable[[], StacStore]) -> StacStore:
    return opener()


@pytest.fixture
def sql(pgstac_database: str) -> Iterator[Callable[..., list[Any]]]:
    with psycopg.connect(pgstac_database, autocommit=True) as connection:
        connection.execute("SET search_path TO pgstac, public")
        yield lambda query, *values: connection.execute(query, values or None).fetchall()


def opened(url: str, dsn: str, home: Path, patience: Patience | None = None) -> StacStore:
    return stac_store(Settings(home=home, catalog=url, pgstac_dsn=SecretStr(dsn)), patience=patience)


def test_what_clients_of_the_api_get_is_valid_and_linked(store: StacStore, url: str) -> None:
    import httpx
    import pystac

    base = item("ramp", 1) | {"id": "ramp", "collection": "base-models", "links": []}
    store.apply(ChangeSet((Change("create", ItemKey("base-models", "ramp"), "new", base),)))
    store.apply(create("town"))
    store.apply(promotion(store, "town", 2))
    shown = httpx.get(store.href(key("town", 2))).json()
    pystac.Item.from_dict(shown).validate()
    hrefs = {link["rel"]: link["href"] for link in shown["links"]}
    assert hrefs["derived_from"] == f"{url}/collections/base-models/items/ramp"
    assert hrefs["predecessor-version"] == f"{url}/collections/local-models/items/town-v1"
    assert httpx.get(hrefs["derived_from"]).json()["id"] == "ramp"
    assert pystac.Collection.from_dict(httpx.get(f"{url}/collections/{LOCAL}").json()).validate()


def test_links_follow_the_address_that_a_client_uses(store: StacStore, url: str) -> None:
    """A catalog has an internal and a public address, and may move."""
    import httpx

    store.apply(create("town"))
    shown = httpx.get(store.href(key("town", 1)), headers={"Host": "stac.example.org"}).json()
    hrefs = {link["rel"]: link["href"] for link in shown["links"]}
    assert hrefs["derived_from"] == "http://stac.example.org/collections/base-models/items/ramp"


def test_the_bookkeeping_of_pgstac_stays_right(store: StacStore, sql: Callable[..., list[Any]]) -> None:
    """Every new item is newer than all others: what the partition admits is widened in time, and rarely."""
    store.apply(create("town", datetime="2026-01-01T00:00:00Z"))
    ranges = set()
    for number in range(2, 8):
        changes = promotion(store, "town", number)
        dated = item("town", number, datetime=f"2026-0{number}-01T00:00:00Z")
        store.apply(ChangeSet((Change("create", key("town", number), "new", dated), *changes.changes[1:])))
        ranges |= {
            row[0] for row in sql("SELECT constraint_dtrange::text FROM partitions WHERE collection = %s", LOCAL)
        }
    # One that reaches a year ahead of the second item.
    assert len(ranges) == 1
    ((count, admitted),) = sql(
        "SELECT count(*), bool_and(constraint_dtrange @> datetime) FROM items JOIN partitions USING (collection)"
    )
    assert (count, admitted) == (7, True)
    assert sql("SELECT partition FROM partition_stats WHERE collection = %s", LOCAL) == sql(
        "SELECT partition FROM partitions WHERE collection = %s", LOCAL
    )
    sql("SELECT update_partition_stats(partition) FROM partitions WHERE collection = %s", LOCAL)
    store.apply(promotion(store, "town", 8))
    assert active(store, "town") == ["town-v8"]


def test_two_writers_of_a_family_never_leave_two_active_items(opener: Callable[[], StacStore]) -> None:
    """Neither has read what the other writes: preconditions alone would let both through."""
    opener().apply(create("other"))
    start = threading.Barrier(8)

    def first_promotion(number: int) -> bool:
        store = opener()
        start.wait()
        try:
            store.apply(create("town", number))
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(first_promotion, range(1, 9)))
    assert done.count(True) == 1
    assert len(active(opener(), "town")) == 1


def test_sets_with_the_same_families_in_another_order_do_not_block_each_other(opener: Callable[[], StacStore]) -> None:
    opener().apply(create("zero"))
    names = ["alpha", "beta", "gamma", "delta"]

    def write(turn: int) -> None:
        store = opener()
        for number in range(4):
            order = names if turn % 2 else list(reversed(names))
            changes = [create(f"{name}-{turn}-{number}").changes[0] for name in order]
            watched = {ItemKey(LOCAL, f"{name}-v1"): None for name in order}
            store.apply(ChangeSet(tuple(changes), watched))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert len(opener().ids(LOCAL)) == 1 + 4 * 4 * 4


def test_a_writer_waits_for_another_of_its_family_and_for_nobody_else(
    opener: Callable[[], StacStore], pgstac_database: str, tmp_path: Path, url: str
) -> None:
    opener().apply(create("town"))
    impatient = Pgstac(SecretStr(pgstac_database), lock_timeout=0.2)
    with psycopg.connect(pgstac_database) as holder:
        lock_families(holder, {ItemKey(LOCAL, "town")})
        opener().apply(create("village"))
        with pytest.raises(CatalogError, match=r"another process has been writing the same family.* for 0\.2 s"):
            impatient.run(lambda connection, _: lock_families(connection, {ItemKey(LOCAL, "town")}))
        many = {ItemKey(LOCAL, f"town-{number}") for number in range(300)}
        with pytest.raises(CatalogError, match="another process"):
            impatient.run(lambda connection, _: lock_families(connection, many))
    impatient.run(lambda connection, _: lock_families(connection, many))


def test_a_set_that_fails_half_way_changes_nothing(store: StacStore) -> None:
    store.apply(create("town"))
    before = store.scan(LOCAL)
    changes = promotion(store, "town", 2).changes
    bad = item("zoo", 1, datetime="not a time")
    with pytest.raises((RefusedError, CatalogError)):
        store.apply(ChangeSet((*changes, Change("create", key("zoo", 1), "new", bad))))
    assert store.scan(LOCAL) == before


@pytest.mark.parametrize(
    "broken",
    [
        {"geometry": None},
        {"geometry": {"type": "Nonsense", "coordinates": []}},
        {"geometry": {"type": "Polygon", "coordinates": "x"}},
        {"bbox": [1, 2, 3, 4], "properties": {"mlm:name": "nul\0", "datetime": "2026-01-01T00:00:00Z"}},
    ],
)
def test_what_the_database_cannot_hold_is_refused_by_name(store: StacStore, broken: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match="the change of the catalog was refused"):
        store.apply(ChangeSet((Change("create", key("town", 1), "new", item("town", 1) | broken),)))
    assert store.ids(LOCAL) == []


def test_a_server_that_restarts_is_waited_for(store: StacStore, postgres_server: PostgresServer) -> None:
    store.apply(create("town"))
    postgres_server.restart()
    store.apply(promotion(store, "town", 2))
    assert active(store, "town") == ["town-v2"]
    changes = promotion(store, "town", 3)
    postgres_server.kill()
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(store.apply, changes)
        postgres_server.start()
        written.result()
    assert active(store, "town") == ["town-v3"]


def test_a_commit_whose_answer_was_lost_is_found_out(store: StacStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its preconditions do not hold any more, and that is no conflict: it was this writer who has changed the items."""
    store.apply(create("town"))
    lost: list[bool] = []
    real = Pgstac.run

    def run(self: Pgstac, act: Any) -> Any:
        def then_lost(connection: Any, uncertain: bool) -> Any:
            result = act(connection, uncertain)
            if not lost and not uncertain and "_applied" in act.__code__.co_names:
                lost.append(True)
                connection.execute("COMMIT")
                connection.close()
                raise psycopg.OperationalError("server closed the connection unexpectedly")
            return result

        return real(self, then_lost)

    monkeypatch.setattr(Pgstac, "run", run)
    store.apply(promotion(store, "town", 2))
    assert lost
    assert active(store, "town") == ["town-v2"]


def test_a_server_that_stays_away_is_named_without_its_password(url: str, tmp_path: Path) -> None:
    store = opened(url, "postgresql://fair:s3cret@127.0.0.1:1/catalog", tmp_path, QUICK)
    for act in (lambda: store.apply(create("town")), lambda: store.entries(LOCAL), lambda: store.scan(LOCAL)):
        with pytest.raises(CatalogError, match="FAIR_PGSTAC_DSN does not answer") as failed:
            act()
        assert "s3cret" not in str(failed.value)


def test_a_database_without_pgstac_is_told(url: str, empty_database: str, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"has no pgstac .*pypgstac migrate"):
        opened(url, empty_database, tmp_path, QUICK).apply(create("town"))


def test_another_version_of_pgstac_is_told(
    store: StacStore, url: str, pgstac_database: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    name = pgstac_database.rsplit("/", 1)[1].partition("?")[0]
    postgres_server.execute("INSERT INTO pgstac.migrations (version) VALUES ('0.7.10')", database=name)
    with pytest.raises(CatalogError, match=r"has pgstac 0\.7\.10, and 0\.10\.x is needed"):
        store.apply(create("town"))


def test_a_dsn_and_a_url_of_two_databases_are_told_and_nothing_is_written(
    url: str, pgstac_database: str, second_pgstac_database: str, stac_api: StacApis, tmp_path: Path
) -> None:
    crossed = opened(url, second_pgstac_database, tmp_path)
    with pytest.raises(CatalogError, match="two different catalogs"):
        crossed.apply(create("town"))
    with psycopg.connect(second_pgstac_database) as connection:
        assert connection.execute("SELECT count(*) FROM pgstac.collections").fetchone() == (0,)
    opened(url, pgstac_database, tmp_path).apply(create("town"))
    opened(stac_api(second_pgstac_database), second_pgstac_database, tmp_path).apply(create("village"))
    with pytest.raises(CatalogError, match="two different catalogs"):
        opened(url, second_pgstac_database, tmp_path).apply(create("zoo"))


def test_a_damaged_item_is_kept_apart_and_overwritten_only_by_who_has_seen_it(
    store: StacStore, sql: Callable[..., list[Any]], tmp_path: Path
) -> None:
    """The API cannot show a link without an address, nor a page with one; the database can."""
    store.apply(create("town"))
    store.apply(create("unet"))
    broken = (
        "UPDATE items SET content = jsonb_set(content, '{links}', '[{\"rel\": \"about\"}]') WHERE id = %s RETURNING 1"
    )
    sql(broken, "town-v1")
    scan = store.scan(LOCAL)
    assert [found["id"] for found in scan.items] == ["unet-v1"]
    assert [one.key for one in scan.damaged] == [key("town", 1)]
    assert [entry.id for entry in store.entries(LOCAL)] == ["unet-v1"]
    change = (Change("update", key("town", 1), "restored", item("town", 1)),)
    with pytest.raises(ConflictError):
        store.apply(ChangeSet(change, {key("town", 1): "another digest"}))
    store.apply(ChangeSet(change, {key("town", 1): scan.damaged[0].digest}))
    assert store.get(key("town", 1)) == item("town", 1)
    (copy,) = (tmp_path / "catalog" / ".damaged").iterdir()
    assert '"rel":"about"' in copy.read_text()


def test_items_of_a_collection_with_common_assets_are_read_alike(
    store: StacStore, sql: Callable[..., list[Any]]
) -> None:
    """What all items share may be kept at the collection, and is put together by pgstac."""
    store.apply(create("town"))
    base = '{"runtime": {"href": "ghcr.io/hot/ramp:latest", "type": "application/x"}}'
    query = "SELECT update_collection(jsonb_set(content, '{item_assets}', %s::jsonb)) FROM collections WHERE id = %s"
    sql(query, base, LOCAL)
    store.apply(create("village"))
    assert [store.get(key(slug, 1)) for slug in ("town", "village")] == list(store.scan(LOCAL).items)


def test_a_store_is_a_catalog_store(store: StacStore) -> None:
    protocol: CatalogStore = store
    assert protocol.listed(LOCAL) == []

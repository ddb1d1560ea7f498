"""Room for items in a real pgstac: made before a write, by one writer at a time, and never in the way of readers."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from pydantic import SecretStr

from fair_dagster.catalog.json import bulk
from fair_dagster.catalog.json.store import JsonStore
from fair_dagster.catalog.opening import open_store
from fair_dagster.catalog.pgstac import bulk as pgstac_bulk
from fair_dagster.catalog.pgstac.connection import Connection, Pgstac
from fair_dagster.catalog.pgstac.locks import lock_families
from fair_dagster.catalog.pgstac.partitions import make_room
from fair_dagster.catalog.pgstac.spans import Spans
from fair_dagster.catalog.stac_api.patience import Patience
from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain.errors import CatalogError
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.flows.moving import export_catalog, import_catalog
from fair_dagster.settings import Settings
from tests.catalog.moves import catalog
from tests.catalog.sets import LOCAL, create, item, key
from tests.services.servers import PostgresServer

COUNT = "SELECT count(*) FROM items"
SEARCH = 'SELECT search(\'{"collections": ["local-models"]}\')'
RANGE = "SELECT constraint_dtrange::text FROM partitions WHERE collection = %s"
Sql = Callable[..., list[Any]]


@pytest.fixture
def source(tmp_path: Path) -> JsonStore:
    return catalog(tmp_path / "source")


@pytest.fixture
def settings(tmp_path: Path, pgstac_database: str, stac_api: Callable[[str], str]) -> Settings:
    return Settings(home=tmp_path / "home", catalog=stac_api(pgstac_database), pgstac_dsn=SecretStr(pgstac_database))


@pytest.fixture
def sql_of(pgstac_database: str) -> Iterator[Sql]:
    """Statements of somebody who does not wait: one that is held fails."""
    with psycopg.connect(pgstac_database, autocommit=True) as connection:
        connection.execute("SET search_path TO pgstac, public")
        connection.execute("SET lock_timeout TO '10s'")
        yield lambda query, *values: connection.execute(query, values or None).fetchall()


@contextmanager
def held(monkeypatch: pytest.MonkeyPatch, catalog_of_place: type, move: Callable[[], Any]) -> Iterator[None]:
    """While ``move`` has written all and not committed; at the end it goes on, and has to succeed."""
    written, go_on = threading.Event(), threading.Event()
    real: Callable[..., None] = catalog_of_place.write  # type: ignore[attr-defined]

    def write(*arguments: Any) -> None:
        real(*arguments)
        written.set()
        assert go_on.wait(60)

    monkeypatch.setattr(catalog_of_place, "write", write)
    with ThreadPoolExecutor(1) as pool:
        moved = pool.submit(move)
        try:
            assert written.wait(60)
            yield
        finally:
            go_on.set()
        assert moved.result().differences == ()


@pytest.mark.parametrize("case", ["empty catalog", "collections without items", "later times"])
def test_readers_go_on_while_an_import_is_written(
    case: str, source: JsonStore, settings: Settings, sql_of: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty catalog is one that nobody reads; one that is filled up is not."""
    store = open_store(settings)
    before: list[str] = []
    if case != "empty catalog":
        store.apply(create("town"))
        before = ["town-v1"]
    if case == "later times":
        later = item("later", 1, datetime="2035-01-01T00:00:00Z")
        source.apply(ChangeSet((Change("create", key("later", 1), "new", later),)))
    move = lambda: import_catalog(settings, source.root, "merge" if before else "empty")  # noqa: E731
    with held(monkeypatch, pgstac_bulk.PgstacCatalog, move):
        assert sql_of(COUNT) == [(len(before),)]
        assert [one["id"] for one in sql_of(SEARCH)[0][0]["features"]] == before
        without = open_store(settings.model_copy(update={"pgstac_dsn": None}))
        assert [one["id"] for one in without.items(LOCAL)] == before
    assert len(store.ids(LOCAL)) > len(before)


def widening(store: CatalogStore) -> Callable[[], object]:
    later = item("fresh", 1, datetime="2050-01-01T00:00:00Z")
    return lambda: store.apply(ChangeSet((Change("create", key("fresh", 1), "new", later),)))


@pytest.mark.parametrize("direction", ["import", "export"])
def test_readers_get_past_a_writer_that_waits_for_a_long_move(
    direction: str, settings: Settings, sql_of: Sql, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The writer wants the partition for itself; whoever comes later queues behind it."""
    store = open_store(settings)
    store.apply(create("town"))
    root = catalog(tmp_path / "source").root
    moves: dict[str, tuple[type, Callable[[], Any]]] = {
        "import": (pgstac_bulk.PgstacCatalog, lambda: import_catalog(settings, root, "merge")),
        "export": (bulk.JsonCatalog, lambda: export_catalog(settings, tmp_path / "out", "empty")),
    }
    with ThreadPoolExecutor(1) as pool:
        with held(monkeypatch, *moves[direction]):
            written = pool.submit(widening(store))
            while not sql_of("SELECT 1 FROM pg_locks WHERE NOT granted"):
                assert not written.done()
            # Behind the writer, which lets go of its place in the queue.
            assert sql_of(COUNT) == [(1,)]
            assert not written.done()
        written.result()
    assert store.get(key("fresh", 1)) is not None


def test_a_writer_that_finds_no_room_for_long_says_who_may_be_in_the_way(
    settings: Settings, pgstac_database: str, sql_of: Sql
) -> None:
    open_store(settings).apply(create("town"))
    before = sql_of(RANGE, LOCAL)
    impatient = Pgstac(SecretStr(pgstac_database), lock_timeout=0.1)
    later = Spans([item("town", 1, datetime="2050-01-01T00:00:00Z")])
    with psycopg.connect(pgstac_database) as reader:
        reader.execute("SELECT count(*) FROM pgstac.items")
        with pytest.raises(CatalogError, match="or importing or exporting a catalog"):
            make_room(impatient, later)
    assert sql_of(RANGE, LOCAL) == before
    make_room(impatient, later)
    assert sql_of(RANGE, LOCAL) != before


def test_many_first_writers_of_an_empty_catalog_make_its_partition_once(settings: Settings, sql_of: Sql) -> None:
    """pgstac itself swallows that another has made the table, and then misses it: some of them failed."""
    start = threading.Barrier(8)

    def first(number: int) -> None:
        store = open_store(settings)
        store.family(LOCAL, "town")
        start.wait()
        store.apply(create(f"town-{number}", datetime=f"20{10 + 3 * number}-01-01T00:00:00Z"))

    for _ in range(2):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(first, range(8)))
        assert len(sql_of("SELECT id FROM items")) == 8
        sql_of("SELECT delete_collection(id) FROM collections")
        open_store(settings).refresh(LOCAL)


def test_collections_that_are_split_by_month_get_all_their_partitions(
    source: JsonStore, settings: Settings, sql_of: Sql
) -> None:
    """Somebody else has made the collection; its items are of three months."""
    open_store(settings).refresh(LOCAL)
    sql_of("UPDATE collections SET partition_trunc = 'month' WHERE id = %s RETURNING 1", LOCAL)
    for number, time in enumerate(("2026-02-28T23:30:00-05:00", "2026-02-03T00:00:00Z", "2027-05-01T00:00:00Z")):
        source.apply(create(f"month-{number}", datetime=time))
    assert import_catalog(settings, source.root, "replace").differences == ()
    rows = sql_of("SELECT lower(partition_dtrange)::date::text FROM partitions WHERE collection = %s ORDER BY 1", LOCAL)
    assert [row[0] for row in rows] == ["2026-01-01", "2026-02-01", "2026-03-01", "2027-05-01"]
    open_store(settings).apply(create("month-9", datetime="2029-01-01T00:00:00Z"))
    assert len(sql_of(RANGE, LOCAL)) == 5


def test_what_is_narrowed_meanwhile_is_widened_again(
    settings: Settings, sql_of: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pgstac's own maintenance narrows ranges to what is there."""
    store = open_store(settings)
    store.apply(create("town"))
    assert "2027-01-01" in sql_of(RANGE, LOCAL)[0][0]
    sql_of("SELECT update_partition_stats(partition) FROM partitions")
    assert "2027-01-01" not in sql_of(RANGE, LOCAL)[0][0]
    store.apply(create("village", datetime="2026-05-01T00:00:00Z"))
    assert "2027-05-01" in sql_of(RANGE, LOCAL)[0][0]


def test_the_last_year_that_clients_can_spell_is_not_passed(settings: Settings, sql_of: Sql) -> None:
    store = open_store(settings)
    start, end = "2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z"
    store.apply(create("town", start_datetime=start, end_datetime=end))
    ((latest,),) = sql_of("SELECT upper(constraint_edtrange) FROM partitions WHERE collection = %s", LOCAL)
    assert latest.year == 9999


def test_a_partition_that_pgstac_cannot_widen_is_told(
    settings: Settings, postgres_server: PostgresServer, pgstac_database: str
) -> None:
    """It only warns when it could not; the log of the server has it."""
    store = open_store(settings)
    store.apply(create("town"))
    database = pgstac_database.rpartition("/")[2]
    for statement in (
        "CREATE FUNCTION public.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$",
        "CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION public.refuse()",
    ):
        postgres_server.execute(statement, database=database)
    with pytest.raises(CatalogError, match="could not make room for items of local-models"):
        store.apply(create("village", datetime="2050-01-01T00:00:00Z"))
    assert store.ids(LOCAL) == ["town-v1"]
    postgres_server.execute("DROP EVENT TRIGGER refuse", database=database)
    store.apply(create("village", datetime="2050-01-01T00:00:00Z"))


def test_a_document_is_computed_when_open_writers_have_come_in(
    settings: Settings, pgstac_database: str, sql_of: Sql
) -> None:
    """An item that needs no wider document when it is written is outside of one that was narrowed meanwhile."""
    store = open_store(settings)
    store.apply(create("town"))
    with ThreadPoolExecutor(1) as pool, psycopg.connect(pgstac_database) as writer:
        writer.execute("SET search_path TO pgstac, public")
        lock_families(writer, {key("village", 1)})
        refreshed = pool.submit(store.refresh, LOCAL)
        while not sql_of("SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert not refreshed.done()
        stored = orjson.dumps(item("village", 1)).decode()
        writer.execute("SELECT create_items(jsonb_build_array(%s::jsonb))", [stored])
        writer.commit()
        assert refreshed.result()["fair:item_count"] == 2
    assert store.document_problems(LOCAL) == []


def test_settings_do_not_depend_on_the_session(pgstac_database: str) -> None:
    """A pooler in transaction mode hands out another session for each transaction."""
    database = Pgstac(SecretStr(pgstac_database))
    for _ in range(2):
        database.run(lambda connection, _: connection.execute("SELECT count(*) FROM items"))
        database.run(lambda connection, _: connection.execute("SET search_path TO public"))
    database.close()


def test_a_table_that_pgstac_itself_misses_is_looked_for_again(pgstac_database: str) -> None:
    """Another writer may be making it. That there is no pgstac would be wrong, and would send people to migrate one."""
    database = Pgstac(SecretStr(pgstac_database), conflicts=Patience(attempts=3, first_wait=0.001))
    attempts: list[bool] = []

    def act(connection: Connection, _: bool) -> None:
        attempts.append(True)
        connection.execute("DO $$ BEGIN PERFORM 1 FROM _items_99; END $$")

    with pytest.raises(CatalogError, match="refused a statement") as failed:
        database.run(act)
    database.close()
    assert len(attempts) == 3
    assert "no pgstac" not in str(failed.value)

"""Copies of what is damaged behind an API: there before anything is overwritten, or nothing is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from pydantic import SecretStr

from fair_dagster.catalog.json.store import JsonStore
from fair_dagster.catalog.opening import open_store
from fair_dagster.catalog.stac_api.copies import Aside, Copy
from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain.errors import CatalogError, RefusedError
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.domain.publication.drift import over_damaged
from fair_dagster.flows.moving import export_catalog, import_catalog
from fair_dagster.settings import Settings
from tests.catalog.moves import catalog
from tests.catalog.sets import LOCAL, create, item, key
from tests.catalog.stac_server import StacServer, running, told

PRECIOUS = {"assets": {"model": {}}, "precious": 1}
Sql = Callable[..., None]


@pytest.fixture
def sql(pgstac_database: str) -> Iterator[Sql]:
    with psycopg.connect(pgstac_database, autocommit=True) as connection:
        connection.execute("SET search_path TO pgstac, public")

        def run(query: str, *values: Any) -> None:
            connection.execute(query, values or None)

        yield run


@pytest.fixture(params=["database", "api"])
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, pgstac_database: str, stac_api: Callable[[str], str]
) -> Settings:
    dsn = SecretStr(pgstac_database) if request.param == "database" else None
    return Settings(home=tmp_path / "home", catalog=stac_api(pgstac_database), pgstac_dsn=dsn)


def copies(settings: Settings) -> dict[str, Any]:
    """By name without the digest."""
    found = settings.damaged_path.iterdir() if settings.damaged_path.is_dir() else ()
    return {path.stem.rsplit("-", 1)[0]: orjson.loads(path.read_bytes()) for path in found}


def damage(sql: Sql, item_id: str) -> None:
    sql("UPDATE items SET content = content || %s WHERE id = %s", orjson.dumps(PRECIOUS).decode(), item_id)


def over(store: CatalogStore, slug: str) -> ChangeSet:
    return over_damaged(create(slug), store.scan(LOCAL, slug).damaged)


def obstruct(settings: Settings) -> None:
    settings.damaged_path.parent.mkdir(parents=True)
    settings.damaged_path.write_text("a file in the way")


def test_a_copy_is_there_when_a_damaged_item_is_overwritten(settings: Settings, sql: Sql) -> None:
    store = open_store(settings)
    store.apply(create("town"))
    damage(sql, "town-v1")
    store.apply(over(store, "town"))
    assert store.get(key("town", 1)) == item("town", 1)
    assert copies(settings)["local-models-town-v1"]["precious"] == 1


def test_without_a_copy_a_damaged_item_is_not_overwritten(settings: Settings, sql: Sql) -> None:
    store = open_store(settings)
    store.apply(create("town"))
    damage(sql, "town-v1")
    obstruct(settings)
    two = over(store, "town").changes + create("village").changes
    with pytest.raises(CatalogError, match=r"local-models-town-v1 is damaged, .*\.damaged: .*nothing was written"):
        store.apply(ChangeSet(two))
    assert [one.key for one in store.scan(LOCAL).damaged] == [key("town", 1)]
    assert store.ids(LOCAL) == ["town-v1"]


@pytest.mark.parametrize("mode", ["merge", "replace"])
def test_an_import_keeps_copies_of_what_it_overwrites_and_removes(
    settings: Settings, sql: Sql, tmp_path: Path, mode: Any
) -> None:
    source = catalog(tmp_path / "source")
    import_catalog(settings, source.root, "empty")
    open_store(settings).apply(create("extra"))
    for name in ("ramp", "model-0-v1", "extra-v1"):
        damage(sql, name)
    result = import_catalog(settings, source.root, mode)
    assert result.differences == ()
    written = {"base-models-ramp", "local-models-model-0-v1"}
    # What a merge keeps needs no copy.
    assert copies(settings).keys() == (written if mode == "merge" else written | {"local-models-extra-v1"})
    assert all(copy["precious"] == 1 for copy in copies(settings).values())


@pytest.mark.parametrize("settings", ["database"], indirect=True)
@pytest.mark.parametrize("content", ["'[1]'", "'null'", "'{}'", 'content || \'{"id": "other"}\''])
def test_whatever_stands_in_a_row_is_kept_and_replaced(
    settings: Settings, sql: Sql, tmp_path: Path, content: str
) -> None:
    source = catalog(tmp_path / "source", families=1)
    import_catalog(settings, source.root, "empty")
    sql(f"UPDATE items SET content = {content} WHERE id = 'ramp'")
    with pytest.raises(RefusedError, match="base-models/ramp cannot be read"):
        export_catalog(settings, tmp_path / "out", "empty")
    assert import_catalog(settings, source.root, "replace").differences == ()
    assert copies(settings).keys() == {"base-models-ramp"}


def test_an_import_keeps_a_copy_of_a_damaged_document(settings: Settings, sql: Sql, tmp_path: Path) -> None:
    source = catalog(tmp_path / "source", families=1)
    import_catalog(settings, source.root, "empty")
    sql('UPDATE collections SET content = content || \'{"extent": {}, "precious": 1}\' WHERE id = %s', LOCAL)
    assert import_catalog(settings, source.root, "replace").differences == ()
    assert copies(settings)[LOCAL]["precious"] == 1


def test_an_import_without_room_for_copies_changes_nothing(settings: Settings, sql: Sql, tmp_path: Path) -> None:
    source = catalog(tmp_path / "source", families=1)
    import_catalog(settings, source.root, "empty")
    damage(sql, "ramp")
    source.apply(create("later"))
    obstruct(settings)
    with pytest.raises(CatalogError, match=r"base-models-ramp is damaged.*nothing was written"):
        import_catalog(settings, source.root, "replace")
    assert "later-v1" not in open_store(settings).ids(LOCAL)


def test_copies_are_kept_before_a_write_that_is_cut_off(tmp_path: Path) -> None:
    with running(StacServer()) as server:
        settings = Settings(home=tmp_path, catalog=server.url)
        store = open_store(settings)
        for slug in ("town", "unet"):
            store.apply(create(slug))
            server.items[LOCAL, f"{slug}-v1"]["assets"] = {"model": {}}
        changes = tuple(Change("update", key(slug, 1), "restored", item(slug, 1)) for slug in ("town", "unet"))
        server.fail("PUT /collections/local-models/items/unet-v1", told(403))
        with pytest.raises(CatalogError, match=r"Written: update .*town-v1; not written: update .*unet-v1"):
            store.apply(ChangeSet(changes))
        assert copies(settings).keys() == {"local-models-town-v1", "local-models-unet-v1"}


def test_a_full_disk_leaves_no_half_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    aside, copy = Aside(tmp_path / "aside"), Copy("local-models-town-v1", b"{}")
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(CatalogError, match="the disk is full"):
            aside.keep([copy])
    assert list((tmp_path / "aside").iterdir()) == []
    aside.keep([copy, copy])
    assert [path.read_bytes() for path in (tmp_path / "aside").iterdir()] == [b"{}"]


def test_two_states_of_an_item_are_two_copies(tmp_path: Path) -> None:
    aside = Aside(tmp_path)
    aside.keep([Copy("a", b"1"), Copy("a", b"2")])
    assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == [b"1", b"2"]


def test_a_json_catalog_keeps_its_copies_beside_itself(tmp_path: Path) -> None:
    """Its folder is no place of this machine alone."""
    source, target = catalog(tmp_path / "source", families=1), catalog(tmp_path / "target", families=1)
    (target.root / LOCAL / "model-0-v1" / "model-0-v1.json").write_text("all that was left")
    settings = Settings(home=tmp_path / "home", catalog=str(target.root))
    import_catalog(settings, source.root, "replace")
    assert JsonStore(target.root).get(key("model-0", 1)) is not None
    assert [path.read_text() for path in (target.root / ".damaged").iterdir()] == ["all that was left"]

"""The index of a JSON catalog: what every item says in short, without reading what has not changed."""

from pathlib import Path

import orjson
import pytest

from fair_dagster.catalog.json import index
from fair_dagster.catalog.json.store import JsonStore
from fair_dagster.domain.errors import CatalogError
from fair_dagster.domain.items.entries import Entry, entry_of
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet
from tests import factories

COLLECTION = "local-models"
FOLDERS = ("/a", "/a/code")


def item(number: int, *, deprecated: bool = False) -> Item:
    fields = {
        "deprecated": deprecated,
        "mlm:name": "town",
        "fair:zenml_version_id": f"uuid-{number}",
        "fair:base_model": "ramp",
        "fair:base_model_version": "2",
        "fair:dataset": "banepa",
        "fair:dataset_version": "1",
        "fair:schema_version": "1.0.0",
    }
    made = factories.base_model("ramp", number, **fields)
    return made | {"id": f"town-v{number}", "collection": COLLECTION}


def entry(number: int, *, deprecated: bool = False) -> Entry:
    return Entry(
        f"town-v{number}", f"uuid-{number}", number, deprecated, "town", "1.0.0", "ramp", "2", "banepa", "1", FOLDERS
    )


@pytest.fixture
def store(tmp_path: Path) -> JsonStore:
    store = JsonStore(tmp_path / "catalog")
    store.apply(ChangeSet(tuple(Change("create", ItemKey(COLLECTION, f"town-v{n}"), "", item(n)) for n in (1, 2))))
    return store


def test_an_entry_says_what_the_item_says(store: JsonStore) -> None:
    assert store.entries(COLLECTION) == [entry(1), entry(2)]
    assert store.entries("datasets") == []


def test_an_item_of_others_has_an_entry_too() -> None:
    assert entry_of({"id": "x", "properties": {}}) == Entry("x", "", 1, False, "x")


def test_only_what_has_changed_is_read_again(store: JsonStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.entries(COLLECTION)
    read: list[bytes] = []
    parsed = index.parse_entry
    monkeypatch.setattr(
        index, "parse_entry", lambda content, folder: (read.append(content), parsed(content, folder))[1]
    )
    store.entries(COLLECTION)
    assert read == []

    key = ItemKey(COLLECTION, "town-v2")
    JsonStore(store.root).apply(ChangeSet((Change("update", key, "", item(2, deprecated=True)),)))
    assert store.entries(COLLECTION) == [entry(1), entry(2, deprecated=True)]
    assert len(read) == 1

    JsonStore(store.root).apply(ChangeSet((Change("delete", key, ""),)))
    assert store.entries(COLLECTION) == [entry(1)]


@pytest.mark.parametrize("content", [b"", b'{"type": "Feat', b"[]", b"{}", b'{"id": "x", "properties": null}'])
def test_a_damaged_item_hides_no_other_and_is_back_when_it_is_repaired(store: JsonStore, content: bytes) -> None:
    path = Path(store.href(ItemKey(COLLECTION, "town-v1")))
    whole = path.read_bytes()
    path.write_bytes(content)
    assert store.entries(COLLECTION) == [entry(2)]
    path.write_bytes(whole)
    assert store.entries(COLLECTION) == [entry(1), entry(2)]


@pytest.mark.parametrize("version", ["²", "٣", "9" * 5000])
def test_a_version_that_is_no_number_of_ours_hides_no_item(store: JsonStore, version: str) -> None:
    path = Path(store.href(ItemKey(COLLECTION, "town-v2")))
    odd = orjson.loads(path.read_bytes())
    odd["properties"]["version"] = version
    path.write_bytes(orjson.dumps(odd))
    found = {one.id: one.number for one in store.entries(COLLECTION)}
    assert found == {"town-v1": 1, "town-v2": 1}


def test_a_file_that_cannot_be_read_is_not_an_item_that_is_missing(store: JsonStore) -> None:
    path = Path(store.href(ItemKey(COLLECTION, "town-v1")))
    path.unlink()
    path.mkdir()
    with pytest.raises(CatalogError, match="town-v1"):
        store.entries(COLLECTION)

"""What every catalog store does: the same behaviour on files, on pgstac and through an API."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.catalog.opening import open_store
from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain.errors import ConflictError, RefusedError
from fair_dagster.domain.items.digests import digest_of
from fair_dagster.domain.items.entries import entry_of
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.domain.publication.drift import diff
from fair_dagster.settings import Settings
from tests.catalog.sets import LOCAL, active, create, item, key, promotion
from tests.catalog.wild import local_model

KINDS = ("json", "pgstac", "transactions")
Opener = Callable[[], CatalogStore]


@pytest.fixture(params=KINDS)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens the same empty catalog, each time as another process would."""
    if request.param == "json":
        settings = Settings(home=tmp_path)
    else:
        dsn = request.getfixturevalue("pgstac_database")
        url = request.getfixturevalue("stac_api")(dsn)
        secrets: dict[str, Any] = {"pgstac_dsn": dsn} if request.param == "pgstac" else {}
        settings = Settings(home=tmp_path, catalog=url, **secrets)
    return lambda: open_store(settings)


@pytest.fixture
def store(opener: Opener) -> CatalogStore:
    return opener()


def created(one: Item) -> ChangeSet:
    return ChangeSet((Change("create", ItemKey(one["collection"], one["id"]), "new", one),))


def test_a_missing_catalog_reads_as_empty(store: CatalogStore) -> None:
    assert store.get(key("ramp", 1)) is None
    assert store.family(LOCAL, "ramp") == []
    assert store.ids(LOCAL) == []
    assert list(store.items(LOCAL)) == []
    assert store.entries(LOCAL) == []
    assert store.scan(LOCAL).items == ()
    assert store.listed(LOCAL) == []
    assert store.document_problems(LOCAL) == []
    assert store.collection(LOCAL)["id"] == LOCAL
    store.apply(ChangeSet())
    assert store.ids(LOCAL) == []


def test_an_item_comes_out_as_it_went_in(store: CatalogStore) -> None:
    """Nulls, odd spellings of times and local paths among it: what does not come back would be a drift for ever."""
    one = item(
        "ramp", 1, updated="2026-01-01T00:00:00.5+01:00", **{"mlm:pretrained_source": None, "fair:x": {"y": None}}
    )
    one["assets"]["model"] = {"href": "/home/artifacts/model.onnx", "title": None}
    one["assets"]["remote"] = {"href": "s3://bucket/model.onnx"}
    one["links"] += [
        {"rel": "cite-as", "href": "https://example.org/paper?", "title": None},
        {"rel": "source", "href": "/data/tiles of a town/{z}.tif"},
    ]
    store.apply(created(one))
    read = store.get(key("ramp", 1))
    assert read is not None
    # Some write an address without a query, or 27.0 as 27: no difference to anybody.
    assert read["links"][-1]["href"] == "/data/tiles of a town/{z}.tif"
    assert {link["href"].rstrip("?") for link in read["links"]} == {link["href"].rstrip("?") for link in one["links"]}
    assert [link | {"href": ""} for link in read["links"]] == [link | {"href": ""} for link in one["links"]]
    assert read | {"links": []} == one | {"links": []}
    assert diff([read], [read]).changes == ()


def test_every_way_of_reading_gives_the_same_item(store: CatalogStore) -> None:
    """Their digests are compared by preconditions."""
    one = local_model() | {"collection": LOCAL}
    store.apply(created(one))
    (from_family,), (from_items,) = store.family(LOCAL, "roofs-nepal"), store.items(LOCAL)
    (from_scan,), (of_family,) = store.scan(LOCAL).items, store.scan(LOCAL, "roofs-nepal").items
    read = store.get(ItemKey(LOCAL, one["id"]))
    assert read == one
    assert {digest_of(found) for found in (read, from_family, from_items, from_scan, of_family)} == {digest_of(read)}
    assert store.entries(LOCAL) == [entry_of(read)]


def test_a_family_is_its_slug_and_its_versions_and_nothing_else(store: CatalogStore) -> None:
    base = "base-models"
    for item_id in ("ramp", "ramp-v1", "ramp-v12", "ramp-nepal", "ramp-nepal-v1", "ramp-v1-x", "tramp", "ramp-v01"):
        former = item_id in {"ramp-v01", "ramp-v1", "ramp-v12", "ramp-nepal-v1"}
        store.apply(created(item("ramp", 1, deprecated=former) | {"id": item_id, "collection": base}))
    assert [one["id"] for one in store.family(base, "ramp")] == ["ramp", "ramp-v01", "ramp-v1", "ramp-v12"]
    assert [one["id"] for one in store.scan(base, "ramp").items] == ["ramp", "ramp-v01", "ramp-v1", "ramp-v12"]
    assert store.family(base, "ram") == []
    assert store.ids(base)[:2] == ["ramp", "ramp-nepal"]


def test_a_promotion_is_read_by_other_processes(opener: Opener) -> None:
    first, second = opener(), opener()
    first.apply(create("ramp"))
    assert active(second, "ramp") == ["ramp-v1"]
    second.apply(promotion(second, "ramp", 2))
    assert active(first, "ramp") == ["ramp-v2"]
    assert [entry.deprecated for entry in first.entries(LOCAL)] == [True, False]


def test_entries_follow_changes_and_deletions(opener: Opener) -> None:
    store, other = opener(), opener()
    store.apply(create("ramp"))
    assert [entry.id for entry in store.entries(LOCAL)] == ["ramp-v1"]
    other.apply(create("unet"))
    other.apply(promotion(other, "ramp", 2))
    assert [(entry.id, entry.deprecated) for entry in store.entries(LOCAL)] == [
        ("ramp-v1", True),
        ("ramp-v2", False),
        ("unet-v1", False),
    ]
    other.apply(ChangeSet((Change("delete", key("unet", 1), "gone"),)))
    assert [entry.id for entry in store.entries(LOCAL)] == ["ramp-v1", "ramp-v2"]


def test_deleting_removes_the_item_and_leaves_others_alone(store: CatalogStore) -> None:
    store.apply(create("ramp"))
    store.apply(promotion(store, "ramp", 2))
    left = store.get(key("ramp", 2))
    store.apply(ChangeSet((Change("delete", key("ramp", 1), "gone"),)))
    assert store.ids(LOCAL) == ["ramp-v2"]
    assert store.get(key("ramp", 2)) == left
    store.apply(ChangeSet((Change("delete", key("ramp", 2), "gone"),)))
    assert store.ids(LOCAL) == []
    store.apply(create("ramp"))
    assert store.ids(LOCAL) == ["ramp-v1"]


def test_one_set_may_hold_several_families_and_collections(store: CatalogStore) -> None:
    base = item("ramp", 1) | {"id": "ramp", "collection": "base-models", "links": []}
    changes = (*create("zeta").changes, *created(base).changes, *create("alpha").changes)
    store.apply(ChangeSet(changes, {change.key: None for change in changes}))
    assert store.ids(LOCAL) == ["alpha-v1", "zeta-v1"]
    assert store.ids("base-models") == ["ramp"]


def test_an_outdated_precondition_refuses_the_whole_set(store: CatalogStore) -> None:
    store.apply(create("ramp"))
    changes = promotion(store, "ramp", 2)
    store.apply(ChangeSet((Change("update", key("ramp", 1), "patch", item("ramp", 1, title="patched meanwhile")),)))
    with pytest.raises(ConflictError, match="local-models/ramp-v1 has been changed"):
        store.apply(changes)
    assert store.get(key("ramp", 2)) is None
    assert active(store, "ramp") == ["ramp-v1"]


def test_an_item_that_should_be_absent_and_is_not_refuses_the_set(store: CatalogStore) -> None:
    store.apply(create("ramp"))
    with pytest.raises(ConflictError, match="has been changed since it was read"):
        store.apply(create("ramp", title="of another"))
    found = store.get(key("ramp", 1))
    assert found is not None
    assert found["properties"]["title"] == "ramp 1"


def test_creating_what_exists_and_updating_what_does_not_are_conflicts(store: CatalogStore) -> None:
    store.apply(create("ramp"))
    with pytest.raises(ConflictError, match="exists already"):
        store.apply(created(item("ramp", 1, title="another")))
    with pytest.raises(ConflictError, match="does not exist"):
        store.apply(ChangeSet((Change("update", key("ramp", 9), "lost", item("ramp", 9)),)))


@pytest.mark.parametrize("item_id", ["../x", "a/b", "", ".hidden", "a\0b", "x" * 300, "a'b"])
def test_an_id_that_no_catalog_can_hold_is_refused(store: CatalogStore, item_id: str) -> None:
    bad = ItemKey(LOCAL, item_id)
    with pytest.raises(RefusedError):
        store.get(bad)
    with pytest.raises(RefusedError):
        store.apply(ChangeSet((Change("create", bad, "bad", item("ramp", 1) | {"id": item_id}),)))
    with pytest.raises(RefusedError, match="no collection 'nowhere'"):
        store.ids("nowhere")


def test_what_is_no_json_is_refused_before_anything_is_written(store: CatalogStore) -> None:
    with pytest.raises(RefusedError, match="cannot be written as JSON"):
        store.apply(create("ramp", bad={1, 2}))
    assert store.ids(LOCAL) == []


def test_the_document_says_what_the_items_say_after_a_refresh(store: CatalogStore) -> None:
    far = item("unet", 1, datetime="2025-06-01T00:00:00Z") | {"bbox": [-10.0, -5.0, -9.0, -4.0]}
    store.apply(create("ramp", **{"mlm:tasks": ["classification"], "keywords": ["tree", "polygon"]}))
    store.apply(created(far))
    document = store.refresh(LOCAL)
    assert document["extent"]["spatial"]["bbox"] == [[-10, -5, 85.5, 27.6]]
    assert document["extent"]["temporal"]["interval"] == [["2025-06-01T00:00:00Z", "2026-01-01T00:00:00Z"]]
    assert document["fair:item_count"] == 2
    assert document["summaries"] == {"mlm:tasks": ["classification"]}
    assert document["keywords"] == ["polygon", "tree"]
    assert document["links"] == []
    assert store.collection(LOCAL) == document
    store.apply(ChangeSet((Change("delete", key("unet", 1), "gone"),)))
    assert store.refresh(LOCAL)["extent"]["spatial"]["bbox"] == [[85.5, 27.6, 85.5, 27.6]]


def test_a_refresh_that_changes_nothing_leaves_the_document_alone(store: CatalogStore) -> None:
    store.apply(create("ramp"))
    assert store.refresh(LOCAL) == store.refresh(LOCAL)


def test_a_write_lets_the_document_hold_its_items(store: CatalogStore) -> None:
    store.apply(create("ramp"))
    store.refresh(LOCAL)
    new = item("unet", 1, datetime="2027-01-01T00:00:00Z", keywords=["roof"]) | {"bbox": [-10.0, -10.0, 120.0, 60.0]}
    store.apply(created(new))
    assert store.collection(LOCAL)["keywords"] == ["roof"]
    assert store.collection(LOCAL)["extent"]["spatial"]["bbox"] == [[-10, -10, 120, 60]]
    assert store.document_problems(LOCAL) == []


def test_an_href_is_where_people_find_the_item(store: CatalogStore) -> None:
    store.apply(create("ramp"))
    href = store.href(key("ramp", 1))
    if href.startswith("http"):
        import httpx

        found = httpx.get(href).json()
    else:
        import orjson

        found = orjson.loads(Path(href).read_bytes())
    assert found["id"] == "ramp-v1"

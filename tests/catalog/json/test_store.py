"""The JSON store: what goes in comes out, other tools read it, conflicts and broken files are told."""

import json
import shutil
from pathlib import Path

import pytest

from fair_dagster.catalog.json.store import JsonStore
from fair_dagster.catalog.opening import open_store
from fair_dagster.domain.errors import CatalogError, ConflictError, RefusedError
from fair_dagster.domain.items.digests import digest_of
from fair_dagster.domain.items.stac import ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.settings import Settings
from tests.catalog.sets import LOCAL, active, create, item, key, promotion


@pytest.fixture
def store(tmp_path: Path) -> JsonStore:
    return JsonStore(tmp_path / "home" / "catalog")


def test_a_missing_catalog_reads_as_empty_and_is_not_created(store: JsonStore) -> None:
    assert store.get(key("ramp", 1)) is None
    assert store.family(LOCAL, "ramp") == []
    assert store.ids(LOCAL) == []
    assert list(store.items(LOCAL)) == []
    assert store.collection(LOCAL)["id"] == LOCAL
    assert not store.root.exists()


def test_an_empty_change_set_writes_nothing(store: JsonStore) -> None:
    store.apply(ChangeSet())
    assert not store.root.exists()


def test_an_item_comes_out_as_it_went_in(store: JsonStore, tmp_path: Path) -> None:
    original = item("ramp", 1)
    original["assets"]["model"] = {"href": str(tmp_path / "home/artifacts/model.onnx")}
    original["assets"]["inside"] = {"href": str(store.root / LOCAL / "ramp-v1" / "thumb.png")}
    original["assets"]["remote"] = {"href": "s3://bucket/model.onnx"}
    original["links"].append({"rel": "cite-as", "href": "https://example.org/paper"})
    store.apply(ChangeSet((Change("create", key("ramp", 1), "new", original),)))
    read = store.get(key("ramp", 1))
    assert read is not None
    assert digest_of(read) == digest_of(original)


def test_hrefs_on_disk_are_relative(store: JsonStore, tmp_path: Path) -> None:
    one = item("ramp", 2)
    one["assets"]["model"] = {"href": str(tmp_path / "home/artifacts/model.onnx")}
    store.apply(ChangeSet((Change("create", key("ramp", 2), "new", one),)))
    stored = json.loads(Path(store.href(key("ramp", 2))).read_text())
    assert stored["assets"]["model"]["href"] == "../../../artifacts/model.onnx"
    assert stored["assets"]["runtime"]["href"] == "ghcr.io/hot/ramp:latest"
    hrefs = {link["rel"]: link["href"] for link in stored["links"]}
    assert hrefs["root"] == "../../catalog.json"
    assert hrefs["derived_from"] == "../../base-models/ramp/ramp.json"
    assert hrefs["predecessor-version"] == "../ramp-v1/ramp-v1.json"
    assert str(tmp_path) not in json.dumps(stored)


def test_equal_items_make_equal_files_whatever_their_key_order(store: JsonStore) -> None:
    one = item("ramp", 1)
    store.apply(ChangeSet((Change("create", key("ramp", 1), "new", one),)))
    path = Path(store.href(key("ramp", 1)))
    text = path.read_bytes()
    turned = dict(reversed(one.items())) | {"properties": dict(reversed(one["properties"].items()))}
    store.apply(ChangeSet((Change("update", key("ramp", 1), "same", turned),)))
    assert path.read_bytes() == text


def test_a_family_is_its_slug_and_its_versions_and_nothing_else(store: JsonStore) -> None:
    base = "base-models"
    for item_id in ("ramp", "ramp-v1", "ramp-v12", "ramp-nepal", "ramp-nepal-v1", "ramp-v1-x", "tramp"):
        one = item("ramp", 1) | {"id": item_id, "collection": base}
        store.apply(ChangeSet((Change("create", ItemKey(base, item_id), "new", one),)))
    Path(store.href(ItemKey(base, "tramp"))).write_text("broken")
    assert [one["id"] for one in store.family(base, "ramp")] == ["ramp", "ramp-v1", "ramp-v12"]


def test_pystac_opens_validates_and_walks_the_catalog(store: JsonStore) -> None:
    import pystac

    for slug in ("ramp", "unet"):
        store.apply(create(slug))
        store.apply(promotion(store, slug, 2))
    ramp = item("ramp", 1) | {"id": "ramp", "collection": "base-models", "links": []}
    store.apply(ChangeSet((Change("create", ItemKey("base-models", "ramp"), "new", ramp),)))
    moved = store.root.parent.parent / "elsewhere"
    shutil.move(store.root, moved)
    catalog = pystac.Catalog.from_file(str(moved / "catalog.json"))
    assert catalog.id == "fair-models"
    assert catalog.validate_all() == 5
    assert sorted(one.id for one in catalog.get_items(recursive=True)) == [
        "ramp",
        "ramp-v1",
        "ramp-v2",
        "unet-v1",
        "unet-v2",
    ]
    for one in catalog.get_items(recursive=True):
        assert one.get_parent() is not None
        for link in one.links:
            if link.rel not in {"self", "derived_from"} or one.common_metadata.title.startswith("ramp"):
                assert Path(link.get_absolute_href() or "").is_file(), link


def test_a_moved_catalog_keeps_its_links_in_memory(store: JsonStore, tmp_path: Path) -> None:
    store.apply(create("ramp"))
    before = store.get(key("ramp", 1))
    shutil.move(tmp_path / "home", tmp_path / "new-home")
    assert JsonStore(tmp_path / "new-home" / "catalog").get(key("ramp", 1)) == before


def test_deleting_removes_the_file_the_link_and_the_folder(store: JsonStore) -> None:
    store.apply(create("ramp"))
    store.apply(promotion(store, "ramp", 2))
    store.apply(ChangeSet((Change("delete", key("ramp", 1), "gone"),)))
    assert store.ids(LOCAL) == ["ramp-v2"]
    assert not Path(store.href(key("ramp", 1))).parent.exists()
    document = json.loads((store.root / LOCAL / "collection.json").read_text())
    assert [link["href"] for link in document["links"] if link["rel"] == "item"] == ["./ramp-v2/ramp-v2.json"]


def test_a_write_leaves_other_items_alone(store: JsonStore) -> None:
    store.apply(create("ramp"))
    other = Path(store.href(key("ramp", 1)))
    status = other.stat()
    store.apply(create("unet"))
    assert (other.stat().st_ino, other.stat().st_mtime_ns) == (status.st_ino, status.st_mtime_ns)


def test_an_outdated_precondition_refuses_the_whole_set(store: JsonStore) -> None:
    store.apply(create("ramp"))
    changes = promotion(store, "ramp", 2)
    touched = item("ramp", 1, title="patched meanwhile")
    store.apply(ChangeSet((Change("update", key("ramp", 1), "patch", touched),)))
    with pytest.raises(ConflictError, match="local-models/ramp-v1 has been changed"):
        store.apply(changes)
    assert store.get(key("ramp", 2)) is None
    assert active(store, "ramp") == ["ramp-v1"]


def test_creating_what_exists_and_updating_what_does_not_are_conflicts(store: JsonStore) -> None:
    store.apply(create("ramp"))
    with pytest.raises(ConflictError, match="exists already"):
        store.apply(ChangeSet((Change("create", key("ramp", 1), "again", item("ramp", 1)),)))
    with pytest.raises(ConflictError, match="does not exist"):
        store.apply(ChangeSet((Change("update", key("ramp", 9), "lost", item("ramp", 9)),)))


@pytest.mark.parametrize("item_id", ["../x", "a/b", "", ".hidden", "a\0b", "x" * 300])
def test_an_id_that_could_leave_the_folder_is_refused(store: JsonStore, item_id: str) -> None:
    bad = ItemKey(LOCAL, item_id)
    with pytest.raises(RefusedError):
        store.get(bad)
    with pytest.raises(RefusedError):
        store.apply(ChangeSet((Change("create", bad, "bad", item("ramp", 1) | {"id": item_id}),)))
    assert not store.root.exists()


def test_a_refused_set_names_every_problem(store: JsonStore) -> None:
    other = item("ramp", 1) | {"links": [{"rel": "derived_from", "href": "catalog://nowhere/x"}]}
    changes = (
        Change("create", key("ramp", 2), "wrong id", other),
        Change("create", ItemKey("nowhere", "x"), "wrong collection", None),
    )
    with pytest.raises(RefusedError) as caught:
        store.apply(ChangeSet(changes))
    assert len(caught.value.problems) == 4


def test_what_is_no_json_is_refused_before_anything_is_written(store: JsonStore) -> None:
    with pytest.raises(RefusedError, match="cannot be written as JSON"):
        store.apply(create("ramp", bad={1, 2}))
    assert store.ids(LOCAL) == []


@pytest.mark.parametrize("text", ['{"type": "Feat', "", "[]"])
def test_a_truncated_file_is_named(store: JsonStore, text: str) -> None:
    store.apply(create("ramp"))
    Path(store.href(key("ramp", 1))).write_text(text)
    with pytest.raises(CatalogError, match=r"ramp-v1\.json is damaged"):
        store.get(key("ramp", 1))
    with pytest.raises(CatalogError, match=r"reconcile --repair"):
        store.family(LOCAL, "ramp")


def test_extent_and_count_follow_the_items(store: JsonStore) -> None:
    far = item("unet", 1, datetime="2025-06-01T00:00:00Z") | {"bbox": [-10, -5, -9, -4]}
    store.apply(create("ramp"))
    assert store.collection(LOCAL)["extent"]["spatial"]["bbox"] == [[85.5, 27.6, 85.5, 27.6]]
    store.apply(ChangeSet((Change("create", key("unet", 1), "new", far),)))
    document = store.collection(LOCAL)
    assert document["extent"]["spatial"]["bbox"] == [[-10, -5, 85.5, 27.6]]
    assert document["extent"]["temporal"]["interval"] == [["2025-06-01T00:00:00Z", "2026-01-01T00:00:00Z"]]
    assert document["fair:item_count"] == 2
    store.apply(ChangeSet((Change("delete", key("unet", 1), "gone"),)))
    assert store.refresh(LOCAL)["extent"]["spatial"]["bbox"] == [[85.5, 27.6, 85.5, 27.6]]


def test_refresh_summarizes_and_repairs_item_links(store: JsonStore) -> None:
    store.apply(create("ramp", **{"mlm:tasks": ["classification"], "keywords": ["tree", "polygon"]}))
    path = store.root / LOCAL / "collection.json"
    document = json.loads(path.read_text())
    document["links"] = [link for link in document["links"] if link["rel"] != "item"]
    path.write_text(json.dumps(document))
    refreshed = store.refresh(LOCAL)
    assert refreshed["summaries"] == {"mlm:tasks": ["classification"]}
    assert refreshed["keywords"] == ["polygon", "tree"]
    assert refreshed["links"] == []
    assert "ramp-v1.json" in path.read_text()


def test_refreshing_twice_changes_nothing_the_second_time(store: JsonStore) -> None:
    store.apply(create("ramp"))
    store.refresh(LOCAL)
    path = store.root / LOCAL / "collection.json"
    status = path.stat()
    store.refresh(LOCAL)
    assert path.stat().st_mtime_ns == status.st_mtime_ns


def test_a_folder_is_opened_and_a_url_refused(tmp_path: Path) -> None:
    opened = open_store(Settings(home=tmp_path))
    opened.apply(create("ramp"))
    assert (tmp_path / "catalog" / "catalog.json").is_file()
    with pytest.raises(RefusedError, match="no http or https URL"):
        open_store(Settings(catalog="s3://bucket/stac"))


def test_a_write_adds_to_the_summaries_of_its_collection(store: JsonStore) -> None:
    store.apply(create("ramp", **{"mlm:tasks": ["classification"], "keywords": ["tree", "polygon"]}))
    store.apply(create("unet", **{"mlm:tasks": ["object-detection"], "keywords": ["building", "polygon"]}))
    document = store.collection(LOCAL)
    assert document["summaries"] == {"mlm:tasks": ["classification", "object-detection"]}
    assert document["keywords"] == ["building", "polygon", "tree"]

"""Files that were damaged or deleted outside this program: what readers see, what a write and a refresh restore."""

from pathlib import Path

import orjson
import pytest

from fair_dagster.catalog.json.store import JsonStore
from fair_dagster.domain.errors import CatalogError, ConflictError
from fair_dagster.domain.items.damage import DocumentProblem
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.domain.publication.drift import diff
from tests.catalog.sets import LOCAL, create, item, key


@pytest.fixture
def store(tmp_path: Path) -> JsonStore:
    return JsonStore(tmp_path / "catalog")


@pytest.fixture
def filled(store: JsonStore) -> JsonStore:
    for slug in ("ramp", "unet", "yolo"):
        store.apply(create(slug))
    return store


def linked(store: JsonStore) -> list[str]:
    return store.listed(LOCAL)


def damage(store: JsonStore, slug: str, text: str = '{"type": "Fea') -> Path:
    path = Path(store.href(key(slug, 1)))
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"type": "Fea',
        '{"id": "other", "properties": {}}',
        '{"id": "ramp-v1"}',
        '{"id": "ramp-v1", "properties": {}, "links": [{"rel": "about"}]}',
        '{"id": "ramp-v1", "properties": {}, "assets": {"model": {}}}',
        '{"id": "ramp-v1", "properties": {"fair:promotion": "first"}}',
        '{"id": "ramp-v1", "properties": {}, "bbox": ["west"]}',
    ],
)
def test_a_scan_tells_damaged_items_apart_and_reads_the_others(filled: JsonStore, text: str) -> None:
    damage(filled, "ramp", text)
    scan = filled.scan(LOCAL)
    assert [found["id"] for found in scan.items] == ["unet-v1", "yolo-v1"]
    assert [damaged.key for damaged in scan.damaged] == [key("ramp", 1)]


def test_a_damaged_item_is_overwritten_only_by_who_has_seen_it_and_a_copy_stays(filled: JsonStore) -> None:
    damage(filled, "ramp", '{"my": "words')
    change = (Change("update", key("ramp", 1), "restored", item("ramp", 1)),)
    with pytest.raises(ConflictError):
        filled.apply(ChangeSet(change, {key("ramp", 1): "another digest"}))
    (damaged,) = filled.scan(LOCAL).damaged
    filled.apply(ChangeSet(change, {key("ramp", 1): damaged.digest}))
    assert filled.get(key("ramp", 1)) == item("ramp", 1)
    (copy,) = (filled.root / ".damaged").iterdir()
    assert copy.read_text() == '{"my": "words'
    assert copy.name == f"local-models-ramp-v1-{damaged.digest[:8]}.json"


def test_readers_go_on_without_the_collection_document_and_refresh_restores_it(filled: JsonStore) -> None:
    document = filled.root / LOCAL / "collection.json"
    document.unlink()
    assert [found["id"] for found in filled.items(LOCAL)] == ["ramp-v1", "unet-v1", "yolo-v1"]
    assert filled.family(LOCAL, "unet")
    assert [str(one) for one in filled.document_problems(LOCAL)] == ["local-models/collection.json: it is gone"]
    filled.refresh(LOCAL)
    assert linked(filled) == ["ramp-v1", "unet-v1", "yolo-v1"]
    assert filled.document_problems(LOCAL) == []


@pytest.mark.parametrize("text", [None, "", '{"id": "local-models"}', '{"id": "local-models", "links": [{}]}'])
def test_a_write_without_a_usable_collection_document_loses_no_link(filled: JsonStore, text: str | None) -> None:
    document = filled.root / LOCAL / "collection.json"
    document.unlink()
    if text is not None:
        document.write_text(text)
    filled.apply(create("sam"))
    assert linked(filled) == ["ramp-v1", "sam-v1", "unet-v1", "yolo-v1"]
    assert filled.document_problems(LOCAL) == []


def test_a_damaged_collection_document_is_named_to_readers_and_put_aside_by_refresh(filled: JsonStore) -> None:
    (filled.root / LOCAL / "collection.json").write_text("{")
    with pytest.raises(CatalogError, match="reconcile --repair"):
        filled.collection(LOCAL)
    assert "it is damaged" in filled.document_problems(LOCAL)[0].detail
    filled.refresh(LOCAL)
    assert filled.collection(LOCAL)["fair:item_count"] == 3
    assert [path.read_text() for path in (filled.root / ".damaged").iterdir()] == ["{"]


def test_refresh_keeps_the_link_to_a_damaged_item(filled: JsonStore) -> None:
    damage(filled, "ramp")
    filled.refresh(LOCAL)
    assert linked(filled) == ["ramp-v1", "unet-v1", "yolo-v1"]


def test_an_altered_collection_document_is_told_and_restored(filled: JsonStore) -> None:
    document = filled.root / LOCAL / "collection.json"
    document.write_text(document.read_text().replace("ramp-v1/ramp-v1.json", "nothing/nothing.json"))
    problem = " ".join(str(one) for one in filled.document_problems(LOCAL))
    assert "./ramp-v1/ramp-v1.json are missing" in problem
    assert "./nothing/nothing.json lead nowhere" in problem
    filled.refresh(LOCAL)
    assert filled.document_problems(LOCAL) == []


@pytest.fixture
def described(filled: JsonStore) -> JsonStore:
    """With an item that brings keywords, a license and a wider box."""
    wide = item("segment", 1, keywords=["roof"], license="MIT") | {"bbox": [-10.0, -10.0, 120.0, 60.0]}
    filled.apply(diff([], [wide]))
    return filled


def test_a_document_that_says_more_than_its_items_after_a_deletion_is_no_problem(described: JsonStore) -> None:
    found = described.get(key("segment", 1))
    assert found is not None
    described.apply(diff([found], []))
    assert described.collection(LOCAL)["keywords"] == ["roof"]
    assert described.document_problems(LOCAL) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("extent", {"spatial": {"bbox": [[0.0, 0.0, 0.1, 0.1]]}, "temporal": {"interval": [[None, None]]}}),
        ("summaries", {}),
        ("keywords", []),
        ("fair:item_count", 99),
    ],
)
def test_a_document_that_says_less_than_its_items_is_told(described: JsonStore, name: str, value: object) -> None:
    path = described.root / LOCAL / "collection.json"
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | {name: value}))
    (problem,) = described.document_problems(LOCAL)
    assert problem == DocumentProblem(f"{LOCAL}/collection.json", f"{name} differ from what the items say")


@pytest.mark.parametrize("text", [None, "{", '{"type": "Catalog", "links": []}'])
def test_the_root_document_is_restored(filled: JsonStore, text: str | None) -> None:
    root = filled.root / "catalog.json"
    root.unlink()
    if text is not None:
        root.write_text(text)
    assert filled.document_problems(LOCAL)
    filled.refresh(LOCAL)
    assert filled.document_problems(LOCAL) == []
    assert root.read_text().count('"child"') == 3


def test_a_catalog_that_does_not_exist_yet_has_no_problems(store: JsonStore) -> None:
    assert store.document_problems(LOCAL) == []
    assert not store.root.exists()

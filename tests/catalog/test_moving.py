"""Moving catalogs between folders: without loss, whole or not at all, over nothing that is not meant to go."""

import errno
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from fair_dagster.catalog.json.bulk import JsonCatalog, JsonPlace
from fair_dagster.catalog.json.store import JsonStore
from fair_dagster.catalog.moving import Items
from fair_dagster.domain.errors import CatalogError, ConflictError, NotFoundError, RefusedError
from fair_dagster.domain.moving import Load, same_json
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.flows.moving import Moved, export_catalog, import_catalog, move
from fair_dagster.settings import Settings
from tests.catalog.moves import awkward, catalog, content, files
from tests.catalog.sets import LOCAL, create, item, key, promotion

ROOT = Path(__file__).parents[2]


@pytest.fixture
def source(tmp_path: Path) -> JsonStore:
    return catalog(tmp_path / "source")


def moved(source: JsonStore, target: Path, mode: str = "empty") -> Moved:
    return move(JsonPlace(source.root), JsonPlace(target), mode)  # type: ignore[arg-type]


def numbers(result: Moved) -> dict[str, int]:
    """What happened to the local models."""
    one = next(count for count in result.counts if count.collection == LOCAL)
    return {name: getattr(one, name) for name in ("created", "updated", "unchanged", "removed", "kept")}


def test_what_arrives_is_equal(source: JsonStore, tmp_path: Path) -> None:
    result = moved(source, tmp_path / "target")
    assert result.differences == ()
    assert content(JsonStore(tmp_path / "target")) == content(source)
    assert numbers(result) == {"created": 6, "updated": 0, "unchanged": 0, "removed": 0, "kept": 0}


def test_the_target_is_a_catalog_that_pystac_walks(source: JsonStore, tmp_path: Path) -> None:
    import pystac

    moved(source, tmp_path / "target")
    opened = pystac.Catalog.from_file(str(tmp_path / "target" / "catalog.json"))
    walked = sorted(one.id for one in opened.get_items(recursive=True))
    assert walked == sorted([*source.ids(LOCAL), "ramp", "town"])


def test_an_empty_catalog_that_init_made_may_be_there(source: JsonStore, tmp_path: Path) -> None:
    target = JsonStore(tmp_path / "target")
    target.refresh(LOCAL)
    assert moved(source, target.root).differences == ()
    assert content(target) == content(source)


def test_repeated_it_changes_nothing(source: JsonStore, tmp_path: Path) -> None:
    moved(source, tmp_path / "target")
    before = files(tmp_path / "target")
    result = moved(source, tmp_path / "target")
    assert numbers(result)["unchanged"] == 6
    assert files(tmp_path / "target") == before


def test_what_an_earlier_attempt_left_out_is_completed(source: JsonStore, tmp_path: Path) -> None:
    moved(source, tmp_path / "target")
    target = JsonStore(tmp_path / "target")
    target.apply(ChangeSet((Change("delete", key("model-1", 2), "lost"),)))
    # The document of a half-way write says what the source's says.
    moved(source, target.root, "replace")
    assert content(target) == content(source)
    assert target.listed(LOCAL) == source.ids(LOCAL)


def test_a_target_that_holds_something_else_is_refused_with_all_reasons(source: JsonStore, tmp_path: Path) -> None:
    target = JsonStore(tmp_path / "target")
    target.apply(create("other"))
    target.apply(create("model-1"))
    before = files(target.root)
    with pytest.raises(RefusedError) as refused:
        moved(source, target.root)
    told = str(refused.value)
    assert "local-models/other-v1" in told
    assert "local-models/model-1-v1" in told
    assert "--merge" in told
    assert "--replace" in told
    assert files(target.root) == before


def test_a_document_that_people_have_written_is_not_overwritten(source: JsonStore, tmp_path: Path) -> None:
    moved(source, tmp_path / "target")
    path = tmp_path / "target" / LOCAL / "collection.json"
    path.write_bytes(path.read_bytes().replace(b"Our models", b"Your models"))
    with pytest.raises(RefusedError, match="its document of the collection local-models"):
        moved(source, tmp_path / "target")
    assert b"Your models" in path.read_bytes()
    assert moved(source, tmp_path / "target", "replace").differences == ()
    assert b"Our models" in path.read_bytes()


def test_replace_removes_what_the_source_does_not_have(source: JsonStore, tmp_path: Path) -> None:
    target = JsonStore(tmp_path / "target")
    target.apply(create("other"))
    target.apply(create("model-1"))
    result = moved(source, target.root, "replace")
    assert numbers(result) == {"created": 5, "updated": 1, "unchanged": 0, "removed": 1, "kept": 0}
    assert content(target) == content(source)


def test_in_a_place_without_transactions_no_family_is_without_an_active_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, order = JsonStore(tmp_path / "town"), list[str]()
    source.apply(create("town"))
    moved(source, tmp_path / "target")
    source.apply(promotion(source, "town", 2))
    real = JsonCatalog.write

    def write(self: JsonCatalog, load: Load, items: Items) -> None:
        order.extend(one["id"] for one in items())
        real(self, load, items)

    monkeypatch.setattr(JsonCatalog, "write", write)
    monkeypatch.setattr(JsonCatalog, "is_atomic", False)
    moved(source, tmp_path / "target", "replace")
    assert order == ["town-v2", "town-v1"]


def test_merge_keeps_it_and_computes_the_documents(source: JsonStore, tmp_path: Path) -> None:
    target = JsonStore(tmp_path / "target")
    target.apply(create("other"))
    result = moved(source, target.root, "merge")
    assert result.differences == ()
    assert not result.documents
    assert numbers(result)["kept"] == 1
    assert target.ids(LOCAL) == sorted([*source.ids(LOCAL), "other-v1"])
    assert target.document_problems(LOCAL) == []
    assert target.collection(LOCAL)["fair:item_count"] == 7


def test_merge_makes_no_second_active_item_of_a_family(source: JsonStore, tmp_path: Path) -> None:
    target = JsonStore(tmp_path / "target")
    target.apply(create("model-1", 3))
    with pytest.raises(RefusedError, match="local-models/model-1-v3 is active, and so is model-1-v2"):
        moved(source, target.root, "merge")
    assert target.ids(LOCAL) == ["model-1-v3"]


def test_a_damaged_source_is_refused_with_all_problems(source: JsonStore, tmp_path: Path) -> None:
    (source.root / LOCAL / "model-0-v1" / "model-0-v1.json").write_text('{"id": "mod')
    (source.root / LOCAL / "model-1-v1" / "model-1-v1.json").write_text('{"id": "another"}')
    (source.root / "datasets" / "collection.json").write_text("[]")
    (source.root / "base-models" / "collection.json").unlink()
    with pytest.raises(RefusedError) as refused:
        moved(source, tmp_path / "target")
    told = str(refused.value)
    assert "model-0-v1 cannot be read" in told
    assert "model-1-v1 cannot be read: it calls itself 'another'" in told
    assert "datasets/collection.json is damaged" in told
    assert "the document of the collection base-models is gone, and items of it are there" in told
    assert not (tmp_path / "target").exists()


def test_of_damaged_files_in_the_target_copies_are_put_aside(source: JsonStore, tmp_path: Path) -> None:
    moved(source, tmp_path / "target")
    broken = tmp_path / "target" / LOCAL / "model-0-v1" / "model-0-v1.json"
    broken.write_text("all that was left")
    with pytest.raises(RefusedError, match="model-0-v1"):
        moved(source, tmp_path / "target")
    moved(source, tmp_path / "target", "replace")
    assert content(JsonStore(tmp_path / "target")) == content(source)
    assert [path.read_text() for path in (tmp_path / "target" / ".damaged").iterdir()] == ["all that was left"]


def test_a_source_that_changes_meanwhile_is_noticed(source: JsonStore, tmp_path: Path) -> None:
    def change(_: int, __: int, what: str) -> None:
        if what.startswith("what is there"):
            pytest.fail("nothing is there")
        if what == "reading, datasets":
            update = item("model-0", 2, title="changed")
            source.apply(ChangeSet((Change("update", key("model-0", 2), "meanwhile", update),)))

    with pytest.raises(ConflictError, match=r"model-0-v2 was changed while"):
        move(JsonPlace(source.root), JsonPlace(tmp_path / "target"), "empty", change)
    assert JsonStore(tmp_path / "target").ids(LOCAL) == []


@pytest.mark.parametrize("fails_at", ["stage", "staged model-1-v2.json", "staged collection.json", "commit"])
def test_a_full_disk_leaves_the_target_as_it_was(source: JsonStore, tmp_path: Path, fails_at: str) -> None:
    target = JsonStore(tmp_path / "target")
    target.apply(create("other"))
    before = files(target.root)

    def fill(step: str) -> None:
        if step == fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(CatalogError, match=r"the disk is full; the catalog is as it was"):
        move(JsonPlace(source.root), JsonPlace(target.root, checkpoint=fill), "replace")
    assert files(target.root) == before
    moved(source, target.root, "replace")
    assert content(target) == content(source)


DYING = """
import os, signal, sys
from pathlib import Path
from fair_dagster.catalog.moving import Items
from fair_dagster.catalog.json.bulk import JsonCatalog, JsonPlace
from fair_dagster.flows.moving import move

def die(step):
    if step == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)

move(JsonPlace(Path(sys.argv[1])), JsonPlace(Path(sys.argv[2]), checkpoint=die), "empty")
"""


@pytest.mark.parametrize(
    "step", ["staged model-1-v1.json", "committed", "replaced local-models/model-1-v1/model-1-v1.json"]
)
def test_killed_half_way_a_repeat_completes_it(source: JsonStore, tmp_path: Path, step: str) -> None:
    target = tmp_path / "target"
    command = [sys.executable, "-c", DYING, str(source.root), str(target), step]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert moved(source, target).differences == ()
    assert content(JsonStore(target)) == content(source)


def test_files_of_this_machine_are_named(source: JsonStore, tmp_path: Path) -> None:
    found = moved(source, tmp_path / "target").local_files
    assert len(found) == 12
    assert {(one.asset, one.href) for one in found} == {
        ("model", "/srv/models/model.onnx"),
        ("link license", "/srv/LICENSE"),
    }


def test_a_folder_without_a_catalog_is_not_an_empty_one(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    with pytest.raises(NotFoundError, match=r"no catalog\.json"):
        import_catalog(settings, tmp_path, "replace")


def test_a_catalog_is_not_moved_onto_itself(source: JsonStore, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", catalog=str(source.root))
    for act in (import_catalog, export_catalog):
        with pytest.raises(RefusedError, match="it is the catalog that FAIR_CATALOG names"):
            act(settings, source.root, "replace")


def test_numbers_are_equal_by_value_and_truth_is_no_number() -> None:
    assert same_json({"a": [1, 27.0]}, {"a": [1.0, 27]})
    assert not same_json([1], [True])
    assert not same_json({"a": None}, {})
    assert not same_json([1, 2], [1])
    assert not same_json("1", 1)
    assert not same_json(awkward("a", 1), orjson.loads(orjson.dumps(awkward("a", 2))))

"""Registering base model folders: versions by content, refusals whole, nothing left behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from fair_dagster.domain import items
from fair_dagster.domain.errors import CatalogError, RefusedError
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.flows.base_models import registration
from fair_dagster.flows.base_models.registration import ITEM_FILE
from fair_dagster.flows.publication import releases
from tests.installations import MODEL, Installation


def edit_readme(installation: Installation, text: str) -> None:
    (installation.folder / "README.md").write_text(text)


def edit_item(folder: Path, change: Callable[[Item], Any]) -> None:
    path = folder / ITEM_FILE
    item = orjson.loads(path.read_bytes())
    change(item)
    path.write_bytes(orjson.dumps(item))


def test_new_content_becomes_the_next_version(installation: Installation) -> None:
    edit_readme(installation, "Better.")
    assert installation.register_base_model()["properties"]["version"] == "2"
    assert installation.published(items.BASE_MODELS) == {MODEL: True, f"{MODEL}-v1": False}


def test_equal_content_changes_nothing(installation: Installation) -> None:
    before = {path: path.read_bytes() for path in installation.services.settings.home.rglob("*") if path.is_file()}
    assert not registration.register(installation.services, installation.folder)
    after = {path: path.read_bytes() for path in installation.services.settings.home.rglob("*") if path.is_file()}
    assert after == before


def test_a_revert_rolls_back_to_the_version_that_had_the_content(installation: Installation) -> None:
    original = (installation.folder / "README.md").read_text()
    edit_readme(installation, "Worse.")
    installation.register_base_model()
    edit_readme(installation, original)
    assert installation.register_base_model()["properties"]["version"] == "1"
    assert installation.published(items.BASE_MODELS) == {MODEL: True, f"{MODEL}-v2": False}


def test_finetunes_stay_linked_to_the_version_they_were_made_from(installation: Installation) -> None:
    installation.promote(installation.trained())
    edit_readme(installation, "Better.")
    installation.register_base_model()
    (child,) = installation.services.catalog.items(items.LOCAL_MODELS)
    parents = [link["href"] for link in child["links"] if link["rel"] == "derived_from"]
    assert parents == [f"catalog://base-models/{MODEL}-v1", "catalog://datasets/town"]


def test_published_files_are_copies_with_checksums(installation: Installation) -> None:
    weights = installation.active(items.BASE_MODELS, MODEL)["assets"]["checkpoint"]
    (installation.folder / "weights" / "checkpoint.skops").unlink()
    assert Path(weights["href"]).stat().st_size == weights["file:size"]
    assert weights["file:checksum"].startswith("1220"), "a multihash of SHA-256"


def test_everything_wrong_with_a_folder_is_told_at_once(bare: Installation) -> None:
    pipeline = bare.folder / "pipeline.py"
    pipeline.write_text(pipeline.read_text().replace("def predict(", "def predict_images(", 1))

    def break_item(item: Item) -> None:
        item["properties"]["license"] = "proprietary"
        item["properties"]["keywords"] = ["building", "polygon", "line"]
        item["assets"]["model"]["href"] = "../elsewhere/model.onnx"

    edit_item(bare.folder, break_item)
    with pytest.raises(RefusedError) as refusal:
        registration.register(bare.services, bare.folder)
    told = str(refusal.value)
    for part in ("predict", "proprietary", "keywords", "../elsewhere/model.onnx"):
        assert part in told
    assert bare.published(items.BASE_MODELS) == {}
    assert bare.artifacts(items.BASE_MODELS) == set()


@pytest.mark.parametrize("text", ["{", "[]", '{"type": "Feature"}', '{"properties": {}, "assets": [], "links": 1}', ""])
def test_a_broken_item_is_refused(bare: Installation, text: str) -> None:
    (bare.folder / ITEM_FILE).write_text(text)
    with pytest.raises(RefusedError, match=r"stac-item\.json"):
        registration.register(bare.services, bare.folder)


def test_a_folder_without_a_pipeline_is_refused(bare: Installation) -> None:
    (bare.folder / "pipeline.py").unlink()
    with pytest.raises(RefusedError, match=r"pipeline\.py is missing"):
        registration.register(bare.services, bare.folder)


def test_a_folder_outside_the_models_folder_is_refused(bare: Installation, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / bare.folder.name
    bare.folder.rename(elsewhere.parent.mkdir() or elsewhere)
    with pytest.raises(RefusedError, match="FAIR_MODELS"):
        registration.register(bare.services, elsewhere)


def test_a_catalog_that_cannot_be_written_leaves_no_artifacts(
    bare: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: ChangeSet) -> None:
        raise CatalogError("the disk is full")

    with monkeypatch.context() as disk:
        disk.setattr(bare.services.catalog, "apply", full)
        with pytest.raises(CatalogError):
            registration.register(bare.services, bare.folder)
    assert bare.artifacts(items.BASE_MODELS) == set()


def test_what_was_tried_before_under_the_same_number_is_not_taken_for_the_new_content(
    bare: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed after copying and before writing leaves its copies."""
    with monkeypatch.context() as killed:
        killed.setattr(bare.services.catalog, "apply", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            registration.register(bare.services, bare.folder)
    edit_readme(bare, "What is registered in the end.")
    readme = bare.register_base_model()["assets"]["readme"]["href"]
    assert Path(readme).read_text() == "What is registered in the end."


def test_a_retired_base_model_has_no_active_version(installation: Installation) -> None:
    releases.retire(installation.services, items.BASE_MODELS, MODEL)
    assert installation.published(items.BASE_MODELS) == {f"{MODEL}-v1": False}

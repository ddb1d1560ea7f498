"""What bad input gets: one message with every reason, and three stores that are as they were."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.domain.errors import NotFoundError, RefusedError
from fair_dagster.domain.items.stac import Item
from fair_dagster.fair import Fair
from fair_dagster.flows.datasets import DatasetSpec
from fair_dagster.imagery.synthesize import SyntheticDataset
from tests.e2e.conftest import MODEL, ask, state_of


@pytest.fixture(autouse=True)
def unchanged(fair: Fair, promoted: Item) -> Iterator[None]:
    """Whatever a test here does: afterwards catalog, ZenML, Dagster and artifacts are as before."""
    before = state_of(fair)
    runs = {run.id for run in fair.runs()}
    yield
    assert state_of(fair) == before
    assert {run.id for run in fair.runs()} == runs, "what is refused starts no run"


def test_a_finetune_is_refused_with_every_reason(fair: Fair) -> None:
    wrong = {"epochs": 0, "learning_rate": "fast", "momentum": 1}
    with pytest.raises(RefusedError) as refusal:
        fair.finetune(ask("Town/..", dataset="twon", **wrong))
    told = str(refusal.value)
    for part in ("'Town/..'", "did you mean town", "at least 1", "must be float", "momentum"):
        assert part in told


@pytest.mark.parametrize("name", ["no-such-model", f"{MODEL}-v9", "../../etc", "Texture"])
def test_an_unknown_base_model_is_refused(fair: Fair, name: str) -> None:
    with pytest.raises(RefusedError, match="finetune of"):
        fair.finetune(ask("town-other", base_model=name))


@pytest.mark.parametrize("version", ["town-buildings-v9", "nothing-v1", "town-buildings", "../x-v1"])
@pytest.mark.parametrize("act", ["promote", "archive", "delete", "rerun", "version"])
def test_an_unknown_version_is_not_found(fair: Fair, act: str, version: str) -> None:
    with pytest.raises(NotFoundError):
        getattr(fair, act)(version)


def test_a_prediction_is_refused_with_every_reason(fair: Fair, promoted: Item, tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refusal:
        fair.predict(promoted["id"], tmp_path, overrides={"confidence_threshold": 2, "colour": "red"}, output=tmp_path)
    told = str(refusal.value)
    for part in ("at most 1", "colour", "no .tif, .tiff or .png", "is a folder"):
        assert part in told
    with pytest.raises(RefusedError, match=r"no-such-model(.|\n)*no such folder"):
        fair.predict("no-such-model", tmp_path / "nowhere")


def test_a_patch_of_what_the_system_derives_is_refused_by_name(fair: Fair, promoted: Item) -> None:
    with pytest.raises(RefusedError) as refusal:
        fair.patch(promoted["id"], {"properties": {"version": "9", "mlm:name": "other"}, "id": "other"})
    for part in ("properties.version", "properties.mlm:name", "'id'"):
        assert part in str(refusal.value)


def spoil_empty(folder: Path) -> str:
    shutil.rmtree(folder / "chips")
    (folder / "chips").mkdir()
    return "chips: .*no .tif, .tiff or .png"


def spoil_missing(folder: Path) -> str:
    shutil.rmtree(folder / "chips")
    return "chips: .*no such folder"


def spoil_tiff(folder: Path) -> str:
    (folder / "chips" / "OAM-1-1-19.tif").write_bytes(b"II*\x00" + b"\x00" * 100)
    return "chips: OAM-1-1-19.tif"


def spoil_no_features(folder: Path) -> str:
    (folder / "labels.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    return "labels: "


def spoil_outside(folder: Path) -> str:
    document = json.loads((folder / "labels.geojson").read_text())
    for feature in document["features"]:
        rings = feature["geometry"]["coordinates"]
        feature["geometry"]["coordinates"] = [[[x + 20, y] for x, y in ring] for ring in rings]
    (folder / "labels.geojson").write_text(json.dumps(document))
    return "labels: "


def spoil_json(folder: Path) -> str:
    (folder / "labels.geojson").write_text("{")
    return "labels: .*JSON"


SPOILT = [spoil_empty, spoil_missing, spoil_tiff, spoil_no_features, spoil_outside, spoil_json]


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__.removeprefix("spoil_"))
def test_a_dataset_that_cannot_be_used_is_refused_before_and_after_it_is_described(
    fair: Fair, town: SyntheticDataset, tmp_path: Path, spoil: Any
) -> None:
    shutil.copytree(town.train_chips, tmp_path / "chips")
    shutil.copy(town.labels, tmp_path / "labels.geojson")
    spec = DatasetSpec("spoilt", tmp_path / "chips", tmp_path / "labels.geojson", synthetic=True)
    item = fair.create_dataset(spec, tmp_path / "item.json")
    part = spoil(tmp_path)
    with pytest.raises(RefusedError, match=part):
        fair.create_dataset(spec, tmp_path / "other.json")
    with pytest.raises(RefusedError, match=part):
        fair.register_dataset(item)
    assert not (tmp_path / "other.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"properties": {"keywords": 1}, "assets": []}'])
def test_a_broken_dataset_item_is_refused(fair: Fair, tmp_path: Path, text: str) -> None:
    (tmp_path / "stac-item.json").write_text(text)
    with pytest.raises(RefusedError, match=r"stac-item\.json"):
        fair.register_dataset(tmp_path / "stac-item.json")
    with pytest.raises(RefusedError, match="no such file"):
        fair.register_dataset(tmp_path / "nowhere.json")


@pytest.fixture
def contributed(fair: Fair) -> Iterator[Path]:
    """A folder among the others, to be spoilt."""
    folder = fair.settings.models / "contributed_model"
    shutil.copytree(fair.settings.models / "texture_segmentation", folder)
    for path in (*folder.glob("*.py"), folder / "stac-item.json"):
        text = path.read_text().replace("texture_segmentation", folder.name).replace(MODEL, "contributed-model")
        path.write_text(text)
    yield folder
    shutil.rmtree(folder)


def test_a_broken_item_and_a_missing_export_are_told_together(fair: Fair, contributed: Path) -> None:
    pipeline = contributed / "pipeline.py"
    pipeline.write_text(pipeline.read_text().replace("def predict(", "def forecast("))
    (contributed / "stac-item.json").write_text("{")
    with pytest.raises(RefusedError) as refusal:
        fair.register_base_model("contributed-model")
    assert "predict" in str(refusal.value)
    assert "stac-item.json" in str(refusal.value)


@pytest.mark.parametrize("file", ["pipeline.py", "stac-item.json", "README.md", "weights/model.onnx"])
def test_a_folder_with_a_missing_file_is_refused(fair: Fair, contributed: Path, file: str) -> None:
    (contributed / file).unlink()
    with pytest.raises(RefusedError, match=file):
        fair.register_base_model("contributed-model")


def test_a_base_model_folder_that_is_not_there_is_not_found(fair: Fair) -> None:
    with pytest.raises(NotFoundError, match="there are:"):
        fair.register_base_model("no-such-model")
    with pytest.raises(RefusedError, match="stands outside"):
        fair.register_base_model("../models")

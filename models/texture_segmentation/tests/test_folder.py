"""The folder as a contribution: a valid item, defaults that agree with the code, weights that can be made again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fair_dagster.pipelines.contract import check_folder
from models.texture_segmentation import classifier, onnx_graph, pretrain

FOLDER = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def item() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / "stac-item.json").read_text())
    return content


def test_the_folder_fulfils_the_contract() -> None:
    report = check_folder(FOLDER)

    assert (report.problems, report.warnings) == ((), ())


def test_the_item_is_valid(item: dict[str, Any]) -> None:
    from fair_dagster.catalog.validation.validator import Validator
    from fair_dagster.settings import Settings

    schemas = FOLDER.parents[2] / "shared" / "schemas"
    cache = schemas if schemas.is_dir() else None
    report = Validator(Settings(schema_cache=cache, offline=True)).validate(item, kind="base-model")

    assert report.problems == ()
    assert cache is None or report.not_checked == ()


def test_defaults_of_the_item_are_those_of_the_code(pipeline: Any, item: dict[str, Any]) -> None:
    code = {f"training.{key}": value for key, value in pipeline.TRAINING_DEFAULTS.items()}
    code |= {f"inference.{key}": value for key, value in pipeline.INFERENCE_DEFAULTS.items()}

    assert item["properties"]["mlm:hyperparameters"] == code
    specified = {entry["key"]: entry["default"] for entry in item["properties"]["fair:hyperparameters_spec"]}
    assert specified == code


def test_classes_and_metrics_of_the_item_are_those_of_the_code(pipeline: Any, item: dict[str, Any]) -> None:
    from models.texture_segmentation.evaluation import scores

    classes = item["properties"]["mlm:output"][0]["classification:classes"]
    metrics = {entry["key"] for entry in item["properties"]["fair:metrics_spec"]}

    assert tuple(entry["name"] for entry in classes) == pipeline.CLASS_NAMES
    assert metrics == {*scores(np.ones((2, 2), np.int64)), "colour_only_building_iou"}


def test_the_shipped_graph_is_that_of_the_shipped_weights() -> None:
    model = classifier.load((pretrain.WEIGHTS / pretrain.CHECKPOINT).read_bytes())

    assert onnx_graph.build(model) == (pretrain.WEIGHTS / pretrain.GRAPH).read_bytes()


def test_pretraining_gives_the_shipped_weights_again() -> None:
    shipped = classifier.load((pretrain.WEIGHTS / pretrain.CHECKPOINT).read_bytes())

    again, history = pretrain.pretrain()

    # Other processors round the last digits otherwise.
    assert again.texture[-1].coef_ == pytest.approx(shipped.texture[-1].coef_, abs=1e-3)
    assert history.validation[-1] < 0.2

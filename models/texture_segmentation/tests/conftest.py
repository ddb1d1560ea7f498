"""Data for the tests of this model: a synthetic town, a model trained on it once, and Banepa where it is there."""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.imagery.synthesize import SyntheticDataset, synthesize
from fair_dagster.pipelines.zenml.environment import prepare
from fair_dagster.settings import Settings

HYPERPARAMETERS: dict[str, Any] = {"epochs": 4, "pixels_per_chip": 1500}


@dataclass(frozen=True)
class Trained:
    """What the training steps gave for the synthetic town."""

    town: SyntheticDataset
    split: dict[str, Any]
    checkpoint: bytes
    graph: bytes


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> SyntheticDataset:
    """Eight labelled chips of 128 px."""
    return synthesize(tmp_path_factory.mktemp("town"), chips=8, size=128, seed=5)


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The module with the steps. Importing it imports ZenML, whose files go to a temporary folder."""
    if "zenml" not in sys.modules:
        prepare(Settings(home=tmp_path_factory.mktemp("home")))
    return importlib.import_module("models.texture_segmentation.pipeline")


@pytest.fixture(scope="session")
def trained(town: SyntheticDataset, pipeline: Any) -> Trained:
    data = (str(town.train_chips), str(town.labels))
    split = pipeline.split_dataset.entrypoint(*data, HYPERPARAMETERS)
    checkpoint = pipeline.train_model.entrypoint(*data, "", HYPERPARAMETERS, split)
    return Trained(town, split, checkpoint, pipeline.export_onnx.entrypoint(checkpoint))


@pytest.fixture(scope="session")
def banepa() -> Path:
    """The training part of the Banepa data beside the repository."""
    folder = Path(__file__).resolve().parents[4] / "shared" / "data" / "banepa" / "train"
    if not folder.is_dir():
        pytest.skip("the Banepa sample data is not beside the repository")
    return folder

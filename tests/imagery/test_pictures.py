"""Pictures: small PNGs that show what they should."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fair_dagster.domain.errors import RefusedError
from fair_dagster.imagery.labels import read_labels
from fair_dagster.imagery.pictures import (
    LABELLED,
    MAX_BYTES,
    PREDICTED,
    loss_plot,
    prediction_picture,
)
from fair_dagster.imagery.synthesize import SyntheticDataset, synthesize


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> SyntheticDataset:
    return synthesize(tmp_path_factory.mktemp("town"), chips=6, size=256)


def _pixels(png: bytes) -> Any:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def _near(pixels: Any, color: tuple[int, int, int]) -> int:
    return int((np.abs(pixels - np.array(color)).max(axis=-1) < 30).sum())


def _collection(town: SyntheticDataset) -> dict[str, Any]:
    labels = read_labels(town.labels)
    return {"features": [{"geometry": label.geometry.__geo_interface__} for label in labels]}


def test_a_prediction_is_drawn_over_the_chips_and_stays_small(town: SyntheticDataset) -> None:
    empty = prediction_picture(town.train_chips, {"features": []})
    drawn = prediction_picture(town.train_chips, _collection(town))

    assert len(drawn) <= MAX_BYTES
    assert drawn.startswith(b"\x89PNG")
    assert _near(_pixels(empty), PREDICTED) < 100
    assert _near(_pixels(drawn), PREDICTED) > 1000


def test_labels_are_drawn_in_a_colour_of_their_own(town: SyntheticDataset) -> None:
    both = prediction_picture(town.train_chips, {"features": []}, labels=read_labels(town.labels))

    assert _near(_pixels(both), LABELLED) > 1000


def test_the_size_limit_is_kept_by_making_the_picture_smaller(town: SyntheticDataset) -> None:
    large = prediction_picture(town.train_chips, _collection(town), max_bytes=400_000)
    small = prediction_picture(town.train_chips, _collection(town), max_bytes=40_000)

    assert len(small) <= 40_000 < len(large)


def test_losses_are_plotted_without_touching_pyplot() -> None:
    import sys

    png = loss_plot({"train_loss": [0.6, 0.5], "val_loss": [0.7, 0.6]})

    assert png.startswith(b"\x89PNG")
    assert len(png) < MAX_BYTES
    assert "matplotlib.pyplot" not in sys.modules


def test_a_picture_without_chips_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError):
        prediction_picture(tmp_path, {"features": []})

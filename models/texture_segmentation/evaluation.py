"""Scores on whole held-out chips, of the exported graph itself. Counting only; logging is the step's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fair_dagster.imagery.chips import read_chip
from fair_dagster.imagery.labels import LabelIndex
from models.texture_segmentation.classifier import TrainedModel, building_probability
from models.texture_segmentation.features import CHANNELS

THRESHOLD = 0.5


def evaluate(session: Any, model: TrainedModel, chips: Sequence[Path], labels: LabelIndex) -> dict[str, float]:
    """Metrics at probability 0.5 over every pixel of ``chips``, rounded to 6 digits.

    Args:
        session: onnxruntime session of the exported graph.
        model: whose ``colour`` part is scored beside it, as ``colour_only_building_iou``.
        chips: files of the held-out block.
        labels: the truth.
    """
    name = session.get_inputs()[0].name
    texture, colour = np.zeros((2, 2), dtype=np.int64), np.zeros((2, 2), dtype=np.int64)
    for path in chips:
        chip = read_chip(path)
        truth = labels.mask(chip)
        image = chip.pixels[np.newaxis].astype(np.float32)
        texture += _confusion(truth, session.run(None, {name: image})[0][0, 1])
        plain = image[0].reshape(CHANNELS, -1).T / 255 - np.float32(0.5)
        colour += _confusion(truth, building_probability(model.colour, plain).reshape(truth.shape))
    metrics = scores(texture) | {"colour_only_building_iou": scores(colour)["building_iou"]}
    return {key: round(value, 6) for key, value in metrics.items()}


def scores(confusion: NDArray[np.int64]) -> dict[str, float]:
    """Metrics of a confusion matrix [truth, prediction] of background and building; 0 where undefined."""
    (rejected, false_hits), (missed, hits) = confusion.tolist()
    building = _ratio(hits, hits + missed + false_hits)
    background = _ratio(rejected, rejected + missed + false_hits)
    precision, recall = _ratio(hits, hits + false_hits), _ratio(hits, hits + missed)
    return {
        "building_iou": building,
        "mean_iou": (building + background) / 2,
        "building_precision": precision,
        "building_recall": recall,
        "building_f1": _ratio(2 * precision * recall, precision + recall),
        "accuracy": _ratio(hits + rejected, hits + rejected + missed + false_hits),
    }


def _confusion(truth: NDArray[np.uint8], probability: NDArray[Any]) -> NDArray[np.int64]:
    called = (probability >= THRESHOLD).astype(np.int64)
    return np.bincount((truth.astype(np.int64) * 2 + called).ravel(), minlength=4).reshape(2, 2)


def _ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else 0.0

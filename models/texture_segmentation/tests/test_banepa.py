"""The promise of the model card, on real imagery: what texture achieves beyond colour on held-out blocks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fair_dagster.imagery.chips import chip_grid_position, find_chips, read_frame
from fair_dagster.imagery.labels import LabelIndex, read_labels
from models.texture_segmentation import classifier, dataset, evaluation, onnx_graph
from models.texture_segmentation.dataset import Sample

MIN_IOU, MIN_GAIN = 0.48, 0.05
MAX_PIXELS = 3_000_000
"""That a training looks at, epochs counted: what keeps it below a minute on two cores."""
PIXELS_PER_CHIP = 2000


def test_the_default_training_keeps_its_promise(pipeline: Any, banepa: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the shipped weights, by the steps themselves: score, gain over colour, and how much it looks at."""
    from models.texture_segmentation import pretrain

    data = (str(banepa / "chips"), str(banepa / "labels.geojson"))
    split = pipeline.split_dataset.entrypoint(*data, {})
    looked_at: list[int] = []

    def fit(train: Sample, validation: Sample, settings: Any, **options: Any) -> Any:
        looked_at.append(len(train.targets) * settings["epochs"])
        return fit_really(train, validation, settings, **options)

    fit_really = classifier.fit
    monkeypatch.setattr(classifier, "fit", fit)
    checkpoint = pipeline.train_model.entrypoint(*data, str(pretrain.WEIGHTS / pretrain.CHECKPOINT), {}, split)
    metrics = pipeline.evaluate_model.entrypoint(checkpoint, *data, {}, split)

    assert (split["axis"], split["threshold"], split["val_count"]) == ("column", 386695, 8)
    assert metrics["building_iou"] >= MIN_IOU
    assert metrics["building_iou"] >= metrics["colour_only_building_iou"] + MIN_GAIN
    (pixels,) = looked_at
    assert 0 < pixels <= MAX_PIXELS


@pytest.fixture(scope="module")
def banepa_sample(banepa: Path) -> tuple[list[Path], LabelIndex, Sample]:
    """Pixels of every chip, drawn once: computing features is what takes the time."""
    chips = find_chips(banepa / "chips")
    labels = LabelIndex(read_labels(banepa / "labels.geojson"))
    return chips, labels, dataset.sample_pixels(chips, labels, PIXELS_PER_CHIP, seed=7)


@pytest.mark.parametrize(
    "held_out",
    [
        pytest.param(lambda column, _row: column <= 386690, id="west"),
        pytest.param(lambda _column, row: row <= 220241, id="north"),
        pytest.param(lambda _column, row: row >= 220248, id="south"),
    ],
)
def test_texture_beats_colour_on_every_block(
    pipeline: Any, banepa_sample: tuple[list[Path], LabelIndex, Sample], held_out: Callable[[int, int], bool]
) -> None:
    import onnxruntime

    chips, labels, sample = banepa_sample
    outside = np.array([held_out(*chip_grid_position(read_frame(path))) for path in chips])
    pixels = np.repeat(outside, PIXELS_PER_CHIP)
    train, validation = (Sample(sample.features[chosen], sample.targets[chosen]) for chosen in (~pixels, pixels))

    model, _ = classifier.fit(train, validation, pipeline.TRAINING_DEFAULTS)
    session = onnxruntime.InferenceSession(onnx_graph.build(model), providers=["CPUExecutionProvider"])
    block = [path for path, chosen in zip(chips, outside, strict=True) if chosen]
    metrics = evaluation.evaluate(session, model, block, labels)

    assert metrics["building_iou"] >= MIN_IOU
    assert metrics["building_iou"] >= metrics["colour_only_building_iou"] + MIN_GAIN

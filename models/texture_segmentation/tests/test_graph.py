"""The exported graph says what scikit-learn says, for any size; and features count only what is inside."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fair_dagster.imagery.chips import find_chips, read_chip
from models.texture_segmentation import classifier, features
from models.texture_segmentation.tests.conftest import Trained


def _reference(model: classifier.TrainedModel, pixels: NDArray[Any]) -> NDArray[np.float64]:
    stack = features.feature_stack(pixels)
    probability = classifier.building_probability(model.texture, stack.reshape(len(stack), -1).T)
    return probability.reshape(pixels.shape[1:])


@pytest.fixture(scope="module")
def session(trained: Trained) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(trained.graph, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("size", [(256, 256), (512, 512), (40, 200), (7, 5), (1, 1)])
def test_the_graph_agrees_with_scikit_learn(trained: Trained, session: Any, size: tuple[int, int]) -> None:
    """On noise, on flat colour (where deviations are smallest) and with windows larger than the image."""
    model = classifier.load(trained.checkpoint)
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (3, *size)).astype(np.uint8)
    batch = np.stack((noise, np.full_like(noise, 251), np.full_like(noise, 2)))

    [output] = session.run(None, {"image": batch.astype(np.float32)})

    for pixels, result in zip(batch, output, strict=True):
        assert np.abs(result[1] - _reference(model, pixels)).max() < 1e-4


def test_the_graph_agrees_with_scikit_learn_on_a_chip(trained: Trained, session: Any) -> None:
    model = classifier.load(trained.checkpoint)
    pixels = read_chip(find_chips(trained.town.train_chips)[0]).pixels

    [output] = session.run(None, {"image": pixels[np.newaxis].astype(np.float32)})

    assert np.abs(output[0, 1] - _reference(model, pixels)).max() < 1e-4


def test_exporting_twice_gives_the_same_bytes(pipeline: Any, trained: Trained) -> None:
    assert pipeline.export_onnx.entrypoint(trained.checkpoint) == trained.graph


def test_means_at_the_edge_count_only_pixels_inside() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 20, 30)).astype(np.uint8)

    stack = features.feature_stack(pixels)

    window = features.WINDOWS[1]
    reach = window // 2
    corner = pixels[:, : reach + 1, : reach + 1].astype(float) / 255 - 0.5
    first = features.CHANNELS * 3
    assert stack.shape == (features.COUNT, 20, 30)
    assert stack[first : first + 3, 0, 0] == pytest.approx(corner.mean(axis=(1, 2)), abs=1e-6)
    deviation = np.sqrt(corner.var(axis=(1, 2)) + features.VARIANCE_FLOOR)
    assert stack[first + 3 : first + 6, 0, 0] == pytest.approx(deviation, abs=1e-6)


def test_the_threshold_is_where_the_iou_is_highest() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.2, 0.1])
    targets = np.array([1, 0, 1, 0, 0], np.uint8)

    assert classifier.best_threshold(scores, targets) == 0.7

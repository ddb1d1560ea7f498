"""Training and inference of texture-segmentation, as the model contract asks for.

Thin: each step reads its inputs, calls the modules beside this one, and reports. The three functions at the
top are what serving uses.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from zenml import pipeline, step

from fair_dagster.domain.errors import RefusedError
from fair_dagster.imagery.chips import Frame, read_chip
from fair_dagster.imagery.vectorize import ClassMask, ground_scale, vectorize
from fair_dagster.pipelines.inputs import local_input
from fair_dagster.pipelines.materializers import CheckpointMaterializer, OnnxMaterializer
from fair_dagster.pipelines.metadata import (
    log_loss_history,
    log_metrics,
    log_split,
    log_wall_time,
    report_epoch,
    report_progress,
)
from models.texture_segmentation import classifier, dataset, evaluation, onnx_graph

logger = logging.getLogger(__name__)

CLASS_NAMES = ("background", "building")
BUILDING = 1
TRAINING_DEFAULTS: dict[str, Any] = {
    "epochs": 12,
    "learning_rate": 0.05,
    "l2": 1e-5,
    "pixels_per_chip": 6000,
    "val_ratio": 0.2,
    "seed": 7,
}
INFERENCE_DEFAULTS: dict[str, Any] = {
    "confidence_threshold": 0.5,
    "smoothing_m": 1.0,
    "min_area_m2": 8.0,
    "simplify_m": 0.5,
}


def preprocess(image: Path | str) -> NDArray[np.float32]:
    """A chip as the graph wants it: float32 [1, 3, H, W], values 0 to 255, red first."""
    return read_chip(Path(image)).pixels[np.newaxis].astype(np.float32)


def postprocess(predictions: Iterable[tuple[Frame, NDArray[np.float32]]], params: dict[str, Any]) -> dict[str, Any]:
    """Building polygons as a GeoJSON FeatureCollection (EPSG:4326) from probabilities [2, H, W] a chip.

    Args:
        predictions: where each chip lies, and what the graph said of it.
        params: ``confidence_threshold`` (0 to 1), ``smoothing_m``, ``min_area_m2``, ``simplify_m``; what is
            missing has a default.
    """
    settings = INFERENCE_DEFAULTS | params
    masks = (_class_mask(frame, probability[BUILDING], settings) for frame, probability in predictions)
    return vectorize(
        masks,
        dict(enumerate(CLASS_NAMES)),
        min_area_m2=float(settings["min_area_m2"]),
        simplify_m=float(settings["simplify_m"]),
    )


def _class_mask(frame: Frame, probability: NDArray[np.float32], settings: dict[str, Any]) -> ClassMask:
    from scipy.ndimage import uniform_filter

    pixel_m = frame.mercator_pixel * ground_scale(frame)
    # An odd window, so that the mean is around a pixel and nothing moves by half of one.
    window = 2 * round(float(settings["smoothing_m"]) / pixel_m / 2) + 1
    smooth = uniform_filter(probability, window, mode="nearest")
    called = (smooth >= float(settings["confidence_threshold"])).astype(np.uint8)
    return ClassMask(frame, called * np.uint8(BUILDING), smooth)


def predict(session: Any, input_images: str, params: dict[str, Any]) -> dict[str, Any]:
    """Draw the buildings of a chip or of a folder of chips: a GeoJSON FeatureCollection.

    Args:
        session: onnxruntime ``InferenceSession`` of the exported graph.
        input_images: path of a chip or folder.
        params: as for ``postprocess``.

    Raises:
        RefusedError: with every chip that cannot be read or placed.
    """
    return postprocess(_predictions(session, list(dataset.chip_paths(input_images).values())), params)


def _predictions(session: Any, chips: list[Path]) -> Iterator[tuple[Frame, NDArray[np.float32]]]:
    name = session.get_inputs()[0].name
    problems: list[str] = []
    for number, path in enumerate(chips, start=1):
        try:
            chip = read_chip(path)
        except RefusedError as error:
            problems += [f"{path.name}: {problem}" for problem in error.problems]
        else:
            if not problems:
                yield chip.frame, session.run(None, {name: chip.pixels[np.newaxis].astype(np.float32)})[0][0]
        report_progress(number, len(chips), "chip")
    if problems:
        raise RefusedError("input images", problems)


@step
def split_dataset(
    dataset_chips: str, dataset_labels: str, hyperparameters: dict[str, Any]
) -> Annotated[dict[str, Any], "split_info"]:
    """Hold out a block of neighbouring chips, and make sure that there are labels on them all."""
    settings = TRAINING_DEFAULTS | hyperparameters
    info = dataset.spatial_split(dataset_chips, float(settings["val_ratio"]))
    dataset.label_index(dataset_labels, list(dataset.chip_paths(dataset_chips).values()))
    log_split(info)
    return info


def _report_epoch(done: int, total: int, losses: Mapping[str, float]) -> None:
    report_epoch(done, losses)
    report_progress(done, total)


@step(output_materializers={"trained_model": CheckpointMaterializer})
def train_model(  # noqa: PLR0917 - the contract names these parameters
    dataset_chips: str,
    dataset_labels: str,
    base_model_weights: str,
    hyperparameters: dict[str, Any],
    split_info: dict[str, Any],
    num_classes: int = 2,
    model_name: str | None = None,
    base_model_id: str | None = None,
    dataset_id: str | None = None,
) -> Annotated[bytes, "trained_model"]:
    """Fit the classifier on sampled pixels of the training block, starting from weights where given."""
    if num_classes != len(CLASS_NAMES):
        raise RefusedError("training", [f"this model has {len(CLASS_NAMES)} classes, not {num_classes}"])
    logger.info("Training %s from %s on %s", model_name, base_model_id, dataset_id)
    settings = TRAINING_DEFAULTS | hyperparameters
    started = time.perf_counter()
    weights = local_input(base_model_weights) if base_model_weights else None
    start = classifier.load_start(weights)
    paths = dataset.chip_paths(dataset_chips)
    labels = dataset.label_index(dataset_labels, list(paths.values()))
    train, validation = (
        dataset.sample_pixels([paths[name] for name in split_info[key]], labels, count, int(settings["seed"]))
        for key, count in (("train_chip_names", int(settings["pixels_per_chip"])), ("val_chip_names", 2000))
    )
    model, history = classifier.fit(train, validation, settings, start=start, on_epoch=_report_epoch)
    log_loss_history(history.train, history.validation)
    log_wall_time(time.perf_counter() - started)
    return classifier.dump(model)


@step
def evaluate_model(  # noqa: PLR0917 - the contract names these parameters
    trained_model: bytes,
    dataset_chips: str,
    dataset_labels: str,
    hyperparameters: dict[str, Any],
    split_info: dict[str, Any],
    class_names: list[str] | None = None,
) -> Annotated[dict[str, Any], "metrics"]:
    """Score the graph that is exported, on the held-out block."""
    import onnxruntime

    if class_names is not None and len(class_names) != len(CLASS_NAMES):
        raise RefusedError("evaluation", [f"this model has {len(CLASS_NAMES)} classes, not {len(class_names)}"])
    model = classifier.load(trained_model)
    session = onnxruntime.InferenceSession(onnx_graph.build(model), providers=["CPUExecutionProvider"])
    paths = dataset.chip_paths(dataset_chips)
    labels = dataset.label_index(dataset_labels, list(paths.values()))
    held_out = [paths[name] for name in split_info["val_chip_names"]]
    metrics = evaluation.evaluate(session, model, held_out, labels)
    log_metrics(metrics)
    return metrics


@step(output_materializers={"onnx_model": OnnxMaterializer})
def export_onnx(trained_model: bytes) -> Annotated[bytes, "onnx_model"]:
    """The trained classifier, with its features and standardisation, as one ONNX graph."""
    return onnx_graph.build(classifier.load(trained_model))


@step
def run_inference(
    model_uri: str, input_images: str, inference_params: dict[str, Any]
) -> Annotated[dict[str, Any], "predictions"]:
    """Predict with the graph at ``model_uri``."""
    import onnxruntime

    path = local_input(model_uri)
    if not path.is_file():
        raise RefusedError(f"model {model_uri}", ["there is no such file"])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return predict(session, input_images, inference_params)


@pipeline
def training_pipeline(
    base_model_weights: str,
    dataset_chips: str,
    dataset_labels: str,
    num_classes: int,
    hyperparameters: dict[str, Any],
) -> None:
    """Split, train, evaluate, export. Hyperparameters come without their ``training.`` prefix."""
    data = {
        "dataset_chips": dataset_chips,
        "dataset_labels": dataset_labels,
        "hyperparameters": hyperparameters,
    }
    split_info = split_dataset(**data)
    trained_model = train_model(
        **data, base_model_weights=base_model_weights, split_info=split_info, num_classes=num_classes
    )
    evaluate_model(**data, trained_model=trained_model, split_info=split_info)
    export_onnx(trained_model=trained_model)


@pipeline
def inference_pipeline(model_uri: str, input_images: str, inference_params: dict[str, Any]) -> None:
    """Predict with an exported graph. Parameters come without their ``inference.`` prefix."""
    run_inference(model_uri=model_uri, input_images=input_images, inference_params=inference_params)

"""The smallest pipeline that fulfils the contract: a brightness threshold, trained in no time.

Test data. Hyperparameters steer what goes wrong: ``fail`` names a step that raises, ``sleep`` holds training
up for so many seconds.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any

from zenml import log_metadata, pipeline, step

from fair_dagster.pipelines.materializers import CheckpointMaterializer, OnnxMaterializer
from fair_dagster.pipelines.metadata import (
    log_loss_history,
    log_metrics,
    log_wall_time,
    report_progress,
)


def preprocess(path: Path) -> Any:
    """One chip as float32 [1, 3, H, W] in 0..255."""
    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB"), dtype=np.float32).transpose(2, 0, 1)[None]


def postprocess(mask: Any, name: str) -> dict[str, Any]:
    """One feature a chip; the geometry is made up, tests look at the properties."""
    ring = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"chip": name, "bright": float(mask.mean())},
    }


def predict(session: Any, input_images: str, params: dict[str, Any]) -> dict[str, Any]:
    if params.get("fail"):
        raise ValueError("these chips cannot be read")
    if params.get("nonsense"):
        return {"type": "Nonsense"}
    features = []
    for path in sorted(Path(input_images).glob("*.png")):
        probabilities = session.run(None, {"chips": preprocess(path)})[0]
        features.append(postprocess(probabilities[:, 1] > params.get("threshold", 0.5), path.name))
    return {"type": "FeatureCollection", "features": features}


@step
def split_dataset(
    dataset_chips: str, dataset_labels: str, hyperparameters: dict[str, Any]
) -> Annotated[dict[str, Any], "split_info"]:
    names = sorted(path.name for path in Path(dataset_chips).glob("*.png"))
    info = {"strategy": "last", "train_count": len(names) - 1, "val_count": 1, "val_chips": names[-1:]}
    # On the step only, as contributors write it; the runner lifts it to the model version.
    log_metadata(metadata={"fair/split": info})
    return info


@step(output_materializers={"trained_model": CheckpointMaterializer})
def train_model(  # noqa: PLR0917 - the contract's signature
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
    print(f"training {model_name}")  # noqa: T201 - contributors print, and it belongs into the log
    started = time.perf_counter()
    epochs = int(hyperparameters["epochs"])
    if hyperparameters.get("fail") == "train_model":
        raise ValueError("the labels do not fit the chips")
    report_progress(0, epochs)
    for epoch in range(epochs):
        time.sleep(float(hyperparameters.get("sleep", 0)) / epochs)
        report_progress(epoch + 1, epochs)
    chips = [path for path in Path(dataset_chips).glob("*.png") if path.name not in split_info["val_chips"]]
    brightness = [float(preprocess(path).mean()) for path in chips]
    log_loss_history([1.0 / (epoch + 1) for epoch in range(epochs)], [1.0] * epochs)
    log_wall_time(time.perf_counter() - started)
    return json.dumps({"threshold": sum(brightness) / len(brightness)}).encode()


@step
def evaluate_model(
    trained_model: bytes,
    dataset_chips: str,
    hyperparameters: dict[str, Any],
    class_names: list[str] | None = None,
) -> Annotated[dict[str, Any], "metrics"]:
    if hyperparameters.get("fail") == "evaluate_model":
        raise ZeroDivisionError("no validation chip has a building")
    metrics = {"threshold": json.loads(trained_model)["threshold"], "per_class_iou": {"building": 0.5}}
    log_metrics(metrics)
    return metrics


@step(output_materializers={"onnx_model": OnnxMaterializer})
def export_onnx(trained_model: bytes) -> Annotated[bytes, "onnx_model"]:
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    threshold = json.loads(trained_model)["threshold"]
    weights = np.zeros((2, 3, 1, 1), dtype=np.float32)
    weights[1] = 1 / 3
    bias = np.array([0, -threshold], dtype=np.float32)
    shape = ["batch", 3, "height", "width"]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["chips", "weights", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "brightness",
        [helper.make_tensor_value_info("chips", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 2, "height", "width"])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@step
def draw(model_uri: str, input_images: str, inference_params: dict[str, Any]) -> Annotated[dict[str, Any], "drawn"]:
    from fair_dagster.pipelines.sessions import open_session

    return predict(open_session(Path(model_uri)), input_images, inference_params)


@pipeline
def training_pipeline(
    base_model_weights: str,
    dataset_chips: str,
    dataset_labels: str,
    num_classes: int,
    hyperparameters: dict[str, Any],
) -> None:
    split_info = split_dataset(dataset_chips, dataset_labels, hyperparameters)
    trained_model = train_model(
        dataset_chips, dataset_labels, base_model_weights, hyperparameters, split_info, num_classes
    )
    evaluate_model(trained_model, dataset_chips, hyperparameters)
    export_onnx(trained_model)


@pipeline
def inference_pipeline(model_uri: str, input_images: str, inference_params: dict[str, Any]) -> None:
    draw(model_uri, input_images, inference_params)

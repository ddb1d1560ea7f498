"""A folder as a contributor of fAIr writes it: against the package ``fair``, which is not installed here."""

import json
from pathlib import Path
from typing import Annotated, Any

from fair.serve.base import load_session
from fair.utils.data import count_chips, resolve_directory
from fair.zenml.instrumentation import log_evaluation_results, mlflow_training_context
from fair.zenml.materializers import CheckpointBytesMaterializer, ONNXMaterializer
from fair.zenml.metrics import log_loss_history
from zenml import log_metadata, pipeline, step


def preprocess(path: Path) -> Any:
    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB"), dtype=np.float32).transpose(2, 0, 1)[None]


def postprocess(value: float) -> dict[str, Any]:
    return {"type": "Feature", "properties": {"mean": value}, "geometry": {"type": "Point", "coordinates": [0, 0]}}


def predict(session: Any, input_images: str, params: dict[str, Any]) -> dict[str, Any]:
    chips = sorted(resolve_directory(input_images, "*.png").glob("*.png"))
    values = [float(session.run(None, {"chips": preprocess(chip)})[0].mean()) for chip in chips]
    return {"type": "FeatureCollection", "features": [postprocess(value) for value in values]}


@step
def split_dataset(
    dataset_chips: str, dataset_labels: str, hyperparameters: dict[str, Any]
) -> Annotated[dict[str, Any], "split_info"]:
    info = {"strategy": "random", "train_count": count_chips(dataset_chips)}
    log_metadata(metadata={"fair/split": info})
    return info


@step(output_materializers={"trained_model_artifact": CheckpointBytesMaterializer})
def train_model(  # noqa: PLR0917 - the contract's signature
    dataset_chips: str,
    dataset_labels: str,
    base_model_weights: str,
    hyperparameters: dict[str, Any],
    model_name: str | None = None,
    base_model_id: str | None = None,
    dataset_id: str | None = None,
) -> Annotated[bytes, "trained_model_artifact"]:
    with mlflow_training_context(hyperparameters, model_name, base_model_id, dataset_id):
        scale = 1 / hyperparameters["epochs"]
        log_loss_history([1.0, scale], [1.0, 1.0])
        if hyperparameters.get("mlflow"):
            _log_by_mlflow()
    return json.dumps({"scale": scale}).encode()


def _log_by_mlflow() -> None:
    import mlflow
    from sklearn.linear_model import LogisticRegression

    LogisticRegression(C=0.5).fit([[0.0], [1.0]], [0, 1])  # Autologged.
    with mlflow.start_run():
        mlflow.log_param("optimizer", "AdamW")
        mlflow.log_metric("grad_norm", 2.0, step=1)
        with mlflow.start_run(nested=True):
            mlflow.log_metric("trial", 9.0)
    mlflow.end_run()
    mlflow.log_metric("grad_norm", 1.0, step=2)


@step
def evaluate_model(trained_model: bytes, dataset_chips: str) -> Annotated[dict[str, Any], "metrics"]:
    metrics = {"accuracy": json.loads(trained_model)["scale"]}
    log_evaluation_results(metrics)
    return metrics


@step(output_materializers={"onnx_model": ONNXMaterializer})
def export_onnx(trained_model: bytes) -> Annotated[bytes, "onnx_model"]:
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    shape = ["batch", 3, "height", "width"]
    scale = np.array(json.loads(trained_model)["scale"], dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["chips", "scale"], ["scaled"])],
        "scale",
        [helper.make_tensor_value_info("chips", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scaled", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(scale, "scale")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@step
def run_inference(
    model_uri: str, input_images: str, inference_params: dict[str, Any]
) -> Annotated[dict[str, Any], "predictions"]:
    return predict(load_session(model_uri), input_images, inference_params)


@pipeline
def training_pipeline(
    base_model_weights: str,
    dataset_chips: str,
    dataset_labels: str,
    num_classes: int,
    hyperparameters: dict[str, Any],
) -> None:
    split_dataset(dataset_chips, dataset_labels, hyperparameters)
    trained_model = train_model(dataset_chips, dataset_labels, base_model_weights, hyperparameters)
    evaluate_model(trained_model, dataset_chips)
    export_onnx(trained_model)


@pipeline
def inference_pipeline(model_uri: str, input_images: str, inference_params: dict[str, Any]) -> None:
    run_inference(model_uri, input_images, inference_params)

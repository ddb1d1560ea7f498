"""Names of ``fair.zenml.instrumentation`` and ``fair.zenml.metrics``: what a step reports about itself.

Everything goes to ZenML's metadata under the same keys, and to the experiment tracker. MLflow itself is only asked to
log what the training's library reports of its own accord.
"""

import contextlib
import importlib
import os
import time
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from fair_dagster.domain.versions import LOSS_HISTORY_KEY, PREFIX, read_training
from fair_dagster.pipelines import metadata as ours

__all__ = [
    "log_evaluation_results",
    "log_fair_metrics",
    "log_loss_history",
    "log_run_metadata",
    "log_training_wall_time",
    "mlflow_training_context",
    "read_fair_metrics",
    "read_loss_history",
    "read_training_wall_time",
]


@contextlib.contextmanager
def mlflow_training_context(
    hyperparameters: dict[str, Any],
    model_name: str | None = None,
    base_model_id: str | None = None,
    dataset_id: str | None = None,
) -> Iterator[None]:
    """Record what a training was given and how long it took; a failed one leaves no duration."""
    scalars = {key: value for key, value in hyperparameters.items() if not isinstance(value, dict | list)}
    names = {"model_name": model_name, "base_model_id": base_model_id, "dataset_id": dataset_id}
    given = {key: value for key, value in names.items() if value}
    mlflow = _mlflow()
    if mlflow is not None:
        # The model is an artifact of the pipeline.
        mlflow.autolog(log_models=False, silent=True)
    log_run_metadata({f"{PREFIX}{key}": value for key, value in {**scalars, **given}.items()})
    start = time.perf_counter()
    yield
    ours.log_wall_time(time.perf_counter() - start)


def log_evaluation_results(metrics: dict[str, Any]) -> None:
    """Log the metrics of an evaluation."""
    ours.log_metrics(metrics)


def log_fair_metrics(metrics: dict[str, Any], *, infer_model: bool = True) -> None:
    """Log metrics on the model version; ``infer_model`` is accepted and has no other meaning here."""
    ours.log_metrics(metrics)


def log_loss_history(train_losses: list[float], val_losses: list[float]) -> None:
    """Log the losses, one number an epoch."""
    ours.log_loss_history(train_losses, val_losses)


def log_training_wall_time(seconds: float) -> None:
    """Log how long the fit took, in seconds."""
    ours.log_wall_time(seconds)


def log_run_metadata(metadata: dict[str, Any]) -> None:
    """Log on the run itself; nothing happens outside a step, and None is left out, which ZenML refuses."""
    from zenml import get_step_context, log_metadata

    try:
        run_id = get_step_context().pipeline_run.id
    except RuntimeError:
        return
    known = {key: value for key, value in metadata.items() if value is not None}
    if known:
        log_metadata(known, run_id_name_or_prefix=run_id)


def read_fair_metrics(run_metadata: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Metrics by name; None when there are none."""
    return dict(read_training(run_metadata or {}).metrics) or None


def read_loss_history(run_metadata: Mapping[str, Any] | None) -> dict[str, list[float]] | None:
    """``train_loss`` and ``val_loss``; None when they were not logged."""
    history = (run_metadata or {}).get(LOSS_HISTORY_KEY)
    complete = isinstance(history, dict) and {"train_loss", "val_loss"} <= history.keys()
    return history if complete else None


def read_training_wall_time(run_metadata: Mapping[str, Any] | None) -> float | None:
    """Duration of the fit in seconds; None when it was not logged."""
    return read_training(run_metadata or {}).wall_seconds


def _mlflow() -> ModuleType | None:
    """MLflow where somebody said where it writes; it would otherwise begin a run in the working directory."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return None
    try:
        return importlib.import_module("mlflow")
    except ImportError:
        return None

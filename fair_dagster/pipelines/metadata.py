"""What a pipeline reports about itself: metrics, split, losses, duration and progress.

The ``log_*`` functions write to the ZenML model version of the running step (to the step itself where the run
has no model). Outside a step, as in a plain test of a step's function, they do nothing. ``report_progress`` and
``report_epoch`` need no ZenML at all. The way back is ``read_training``.

An experiment tracker gets the numbers of epochs at once, and the others when the training has ended.
"""

import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fair_dagster.domain.versions import (
    LOSS_HISTORY_KEY,
    PREFIX,
    SPLIT_KEY,
    WALL_SECONDS_KEY,
    TrainingRecord,
    read_training,
)

__all__ = [
    "PROGRESS_VARIABLE",
    "RUN_VARIABLE",
    "TRACKING_VARIABLE",
    "TrainingRecord",
    "log_loss_history",
    "log_metrics",
    "log_split",
    "log_wall_time",
    "read_training",
    "report_epoch",
    "report_progress",
]

PROGRESS_VARIABLE = "FAIR_PROGRESS_FILE"
TRACKING_VARIABLE = "FAIR_TRACKING_FILE"
"""The file of a training that is tracked."""
RUN_VARIABLE = "FAIR_DAGSTER_RUN"
"""The Dagster run that a training belongs to: its provenance tells it."""


def log_metrics(metrics: Mapping[str, Any]) -> None:
    """Log numbers by name, e.g. ``{"building_iou": 0.53}``; a value may be a mapping of class to number."""
    _log({f"{PREFIX}{name}": value for name, value in metrics.items()})


def log_split(info: Mapping[str, Any]) -> None:
    """Log how chips were divided: strategy, counts, and what the strategy needs to be repeated."""
    _log({SPLIT_KEY: dict(info)})


def log_loss_history(train: Sequence[float], validation: Sequence[float]) -> None:
    """Log the losses, one number an epoch, first epoch first."""
    history = {"train_loss": [float(x) for x in train], "val_loss": [float(x) for x in validation]}
    _log({LOSS_HISTORY_KEY: history})


def log_wall_time(seconds: float) -> None:
    """Log how long the fit took, in seconds, without data loading by other steps."""
    _log({WALL_SECONDS_KEY: float(seconds)})


def report_progress(done: int, total: int, what: str = "epoch") -> None:
    """Say how far the step is. Appends one JSON line to the file named by ``FAIR_PROGRESS_FILE``, if any.

    A line is written by one ``write`` to a file opened for appending, so that lines of several processes do
    not mix. A file that cannot be written never fails a training.
    """
    _append(PROGRESS_VARIABLE, {"done": done, "total": total, "what": what})


def report_epoch(epoch: int, metrics: Mapping[str, float]) -> None:
    """Log the numbers of an epoch (from 1) to the experiment tracker, while the training goes on.

    ``train_loss`` and ``val_loss`` are the names under which ``log_loss_history`` logs them at the end; epochs that
    were reported here are not reported again. Does nothing where nothing is tracked, and never fails a training.
    """
    # ZenML's experiment tracker has loaded MLflow, and has begun the run.
    mlflow = sys.modules.get("mlflow")
    with contextlib.suppress(Exception):
        if mlflow is not None and mlflow.active_run() is not None:
            from fair_dagster.pipelines.tracking.mlflow_runs import allowed_name

            mlflow.log_metrics({allowed_name(name): float(value) for name, value in metrics.items()}, step=int(epoch))


def _append(variable: str, entry: Mapping[str, Any]) -> None:
    path = os.environ.get(variable)
    if not path:
        return
    try:
        line = json.dumps({**entry, "time": datetime.now(UTC).isoformat()})
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    except (OSError, TypeError, ValueError):
        return
    try:
        os.write(descriptor, f"{line}\n".encode())
    except OSError:
        return
    finally:
        os.close(descriptor)


def _log(metadata: dict[str, Any]) -> None:
    # Without ZenML in the process there can be no running step, and importing it takes seconds.
    if "zenml" not in sys.modules:
        return
    from zenml import get_step_context, log_metadata

    try:
        context = get_step_context()
    except RuntimeError:
        return
    log_metadata(metadata=metadata, infer_model=context.model_version is not None)

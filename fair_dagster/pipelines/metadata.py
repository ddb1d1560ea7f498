"""What a pipeline reports about itself: metrics, split, losses, duration and progress.

The ``log_*`` functions write to the ZenML model version of the running step (to the step itself where the run
has no model). Outside a step, as in a plain test of a step's function, they do nothing. ``report_progress`` and
``report_epoch`` need no ZenML at all. The way back is ``read_training``.

What an experiment tracker is to show goes to a file as well, which its sender follows.
"""

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
    "tell_tracking",
]

PROGRESS_VARIABLE = "FAIR_PROGRESS_FILE"
TRACKING_VARIABLE = "FAIR_TRACKING_FILE"
RUN_VARIABLE = "FAIR_DAGSTER_RUN"
"""The Dagster run that a training belongs to: its provenance tells it."""


def log_metrics(metrics: Mapping[str, Any]) -> None:
    """Log numbers by name, e.g. ``{"building_iou": 0.53}``; a value may be a mapping of class to number."""
    tell_tracking({"metrics": dict(metrics)})
    _log({f"{PREFIX}{name}": value for name, value in metrics.items()})


def log_split(info: Mapping[str, Any]) -> None:
    """Log how chips were divided: strategy, counts, and what the strategy needs to be repeated."""
    _log({SPLIT_KEY: dict(info)})


def log_loss_history(train: Sequence[float], validation: Sequence[float]) -> None:
    """Log the losses, one number an epoch, first epoch first."""
    history = {"train_loss": [float(x) for x in train], "val_loss": [float(x) for x in validation]}
    tell_tracking({"series": history})
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
    """Tell the experiment tracker the numbers of an epoch (from 1) while the training goes on.

    ``train_loss`` and ``val_loss`` are the names under which ``log_loss_history`` tells them at the end; what was told
    here is not told again. Does nothing where nothing is tracked, and never fails a training.
    """
    tell_tracking({"metrics": dict(metrics), "step": int(epoch)})


def tell_tracking(event: Mapping[str, Any]) -> None:
    """Append an event to the file that the tracker's sender follows, if any."""
    _append(TRACKING_VARIABLE, event)


def _append(variable: str, entry: Mapping[str, Any]) -> None:
    path = os.environ.get(variable)
    if not path:
        return
    try:
        line = json.dumps({**entry, "time": datetime.now(UTC).isoformat()}, default=_plain)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    except (OSError, TypeError, ValueError):
        return
    try:
        os.write(descriptor, f"{line}\n".encode())
    except OSError:
        return
    finally:
        os.close(descriptor)


def _plain(value: Any) -> Any:
    """A number of NumPy's or a tensor's as Python's."""
    return value.item() if hasattr(value, "item") else str(value)


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

"""What the sender asks of a tracker, and which one the settings name."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from fair_dagster.domain.errors import RefusedError
from fair_dagster.settings import Settings
from fair_dagster.tracking.outbox import Amendment, Ending, TrackedRun
from fair_dagster.tracking.points import Batch


@dataclass(frozen=True)
class Opened:
    """A run in the tracker: its id there, and where people look at it."""

    id: str
    url: str


class Tracker(Protocol):
    """One experiment tracker. Every method may raise whatever its client raises; the sender tries again."""

    name: str

    def open(self, run: TrackedRun, known: str | None, zenml_run: str | None) -> Opened:
        """Begin a run, or go on with it.

        Args:
            known: the id it got before; ``""`` when it is not known whether opening it came to its end.
            zenml_run: name of its ZenML run, once it is known.
        """

    def log(self, opened: Opened, batch: Batch) -> None:
        """Add points, tags and parameters."""

    def add_files(self, opened: Opened, files: Mapping[str, Path]) -> None:
        """Add files or folders under a name each."""

    def close(self, opened: Opened, ending: Ending, ended: datetime) -> None:
        """End the run; what was added before is safe afterwards."""

    def amend(self, amendment: Amendment) -> None:
        """Say something of all runs of a version."""


def open_tracker(settings: Settings) -> Tracker:
    """The tracker of the settings.

    Raises:
        RefusedError: what it needs is not installed; or none is set.
    """
    if settings.tracking == "mlflow":
        from fair_dagster.tracking.mlflow_runs import MlflowTracker

        return MlflowTracker(settings)
    if settings.tracking == "wandb":
        from fair_dagster.tracking.wandb_runs import WandbTracker

        return WandbTracker(settings)
    raise RefusedError("tracking", ["FAIR_TRACKING is none: nothing is sent"])

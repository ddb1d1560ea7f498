"""Runs in Weights & Biases: in a folder (offline, no account), or on a server that ``FAIR_TRACKING_URI`` names."""

import importlib.util
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from fair_dagster.domain.errors import RefusedError
from fair_dagster.settings import Settings
from fair_dagster.tracking.outbox import Amendment, Ending, TrackedRun
from fair_dagster.tracking.points import Batch
from fair_dagster.tracking.tracker import Opened

_INIT_SECONDS = 20.0
_CODES: Mapping[Ending, int] = {"FINISHED": 0, "FAILED": 1, "KILLED": 137}


class WandbTracker:
    """Client of W&B. One run at a time: the process that sends follows one training.

    Raises:
        RefusedError: the package is not installed.
    """

    name = "wandb"

    def __init__(self, settings: Settings) -> None:
        if importlib.util.find_spec("wandb") is None:
            raise RefusedError("FAIR_TRACKING=wandb", ["wandb is not installed: `pip install fair-dagster[wandb]`"])
        self._settings = settings
        self._run: Any = None

    def open(self, run: TrackedRun, known: str | None, zenml_run: str | None) -> Opened:
        """Begin the run, or go on with it: its id is ours."""
        import wandb

        self._settings.tracking_path.mkdir(parents=True, exist_ok=True)
        server = self._settings.tracking_uri
        settings = wandb.Settings(
            console="off",
            disable_git=True,
            disable_code=True,
            silent=True,
            init_timeout=_INIT_SECONDS,
            x_disable_stats=True,  # Of the sender, not of the training.
        )
        if server:
            settings.base_url = server
        self._run = wandb.init(
            project=run.experiment,
            id=run.key,
            name=run.name,
            group=run.tags.get("fair.model"),
            dir=self._settings.tracking_path,
            mode="online" if server else "offline",
            resume="allow",
            reinit="finish_previous",
            config={**run.params, **run.tags, "fair.zenml_version_id": run.version_uuid},
            settings=settings,
        )
        # Our steps are epochs; W&B's own only grow, and count calls.
        self._run.define_metric("epoch", hidden=True)
        self._run.define_metric("*", step_metric="epoch")
        return Opened(run.key, str(self._run.url or Path(self._run.dir).parent))

    def log(self, opened: Opened, batch: Batch) -> None:
        for point in batch.points:
            if point.step == 0:
                self._run.summary[point.name] = point.value
            else:
                self._run.log({"epoch": point.step, point.name: point.value})
        if batch.params or batch.tags:
            self._run.config.update({**batch.params, **batch.tags}, allow_val_change=True)

    def add_files(self, opened: Opened, files: Mapping[str, Path]) -> None:
        import wandb

        for name, path in files.items():
            artifact = wandb.Artifact(f"{opened.id}-{name.replace('/', '-')}", type="model")
            if path.is_dir():
                artifact.add_dir(str(path))
            else:
                artifact.add_file(str(path))
            self._run.log_artifact(artifact)

    def close(self, opened: Opened, ending: Ending, ended: datetime) -> None:
        self._run.finish(exit_code=_CODES[ending])

    def amend(self, amendment: Amendment) -> None:
        """Nothing: W&B marks a run that sends no more as crashed by itself, and a folder's run is ended."""

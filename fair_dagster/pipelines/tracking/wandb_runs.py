"""Runs in Weights & Biases: in a folder (offline, no account), or on a server that ``FAIR_TRACKING_URI`` names.

Written at once from the complete run in the local MLflow: W&B cannot go on with an offline run, and ZenML's component
for it begins one a step.
"""

import importlib.util
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fair_dagster.domain.errors import RefusedError
from fair_dagster.pipelines.tracking.mlflow_runs import MlflowRuns, files_of
from fair_dagster.pipelines.tracking.trainings import Ending, TrackedTraining
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities import Run

_INIT_SECONDS = 20.0
_CODES: Mapping[Ending | None, int] = {"FINISHED": 0, "FAILED": 1, "KILLED": 137}


def copy_to_wandb(settings: Settings, source: MlflowRuns, run: "Run", training: TrackedTraining) -> str:
    """Write a run under the training's key, and return where it can be seen.

    Doing it again leaves one run: an offline folder is written anew, a server passes over rows that it has.

    Raises:
        RefusedError: the package is not installed.
    """
    if importlib.util.find_spec("wandb") is None:
        raise RefusedError("FAIR_TRACKING=wandb", ["wandb is not installed: `pip install fair-dagster[wandb]`"])
    import wandb

    server = settings.tracking_uri
    for cut_short in (settings.tracking_path / "wandb").glob(f"offline-run-*-{training.key}"):
        shutil.rmtree(cut_short)
    options: dict[str, Any] = {"base_url": server} if server else {}
    opened = wandb.init(
        project=training.experiment,
        id=training.key,
        name=training.name,
        group=training.tags.get("fair.model"),
        dir=settings.tracking_path,
        mode="online" if server else "offline",
        resume="allow",
        reinit="finish_previous",
        config={**run.data.params, **{k: v for k, v in run.data.tags.items() if not k.startswith("mlflow.")}},
        settings=wandb.Settings(
            console="off",
            disable_git=True,
            disable_code=True,
            silent=True,
            init_timeout=_INIT_SECONDS,
            x_disable_stats=True,  # Of the process that copies, not of the training.
            **options,
        ),
    )
    url = str(opened.url or Path(opened.dir).parent)
    # Our steps are epochs; W&B's own only grow, and count calls.
    opened.define_metric("epoch", hidden=True)
    opened.define_metric("*", step_metric="epoch")
    rows: dict[int, dict[str, float]] = {}
    for name, last in run.data.metrics.items():
        for metric in source.client.get_metric_history(run.info.run_id, name):
            if metric.step == 0:
                opened.summary[name] = last
            else:
                rows.setdefault(metric.step, {})[name] = metric.value
    for number, (epoch, values) in enumerate(sorted(rows.items())):
        opened.log({"epoch": epoch, **values}, step=number)
    for name, path in files_of(run).items():
        artifact = wandb.Artifact(f"{training.key}-{name.replace('/', '-')}", type="model")
        artifact.add_file(str(path))
        opened.log_artifact(artifact)
    opened.finish(exit_code=_CODES[training.ending])
    return url

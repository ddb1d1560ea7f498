"""What a pipeline has logged by MLflow itself, read from the folder that stands for a server while it trains.

However many runs it opens there (autologging ends one and begins another), they are one training. Runs inside runs,
such as the tries of a search, stay out: their metrics would mix with those of the model.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from fair_dagster.tracking.points import CONTRIBUTED, Batch, Point, Position, keep_new

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PARENT = "mlflow.parentRunId"
_OURS = "mlflow."


def read_contributed(store: Path, position: Position) -> tuple[Batch, Position]:
    """What is new; nothing when the pipeline does not use MLflow."""
    if not store.is_dir():
        return Batch(), position
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store.as_uri())
    points: list[Point] = []
    tags: dict[str, str] = {}
    params: dict[str, str] = {}
    for run in _runs(client):
        tags |= {key: value for key, value in run.data.tags.items() if not key.startswith(_OURS)}
        params |= run.data.params
        for name in run.data.metrics:
            known = f"{run.info.run_id}/{name}"
            history = client.get_metric_history(run.info.run_id, name)
            found = [Point(name, m.value, m.step, m.timestamp) for m in history[position.contributed.get(known, 0) :]]
            new, position = keep_new(found, position, CONTRIBUTED)
            position = replace(position, contributed={**position.contributed, known: len(history)})
            points += new
    return Batch(tuple(points), tags, params), position


def contributed_files(store: Path) -> dict[str, Path]:
    """The files that it logged, by the name of a file or folder; of two runs' with one name the later one's."""
    if not store.is_dir():
        return {}
    from mlflow import MlflowClient

    found: dict[str, Path] = {}
    for run in _runs(MlflowClient(tracking_uri=store.as_uri())):
        folder = Path(unquote(urlsplit(run.info.artifact_uri).path))
        found |= {path.name: path for path in folder.glob("*")}
    return found


def _runs(client: "MlflowClient") -> Sequence[Any]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, order_by=["start_time ASC"]) if experiments else []
    return [run for run in runs if _PARENT not in run.data.tags]

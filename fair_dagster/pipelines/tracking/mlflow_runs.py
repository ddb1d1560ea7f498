"""Runs in MLflow: the local one, which trainings log into, and the one that the settings name.

How the runs of a training become one, and how that gets into another MLflow with nothing twice, however often it is
tried. Which trainings there are is not known here.
"""

import contextlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from fair_dagster.domain.errors import ServiceError
from fair_dagster.domain.urls import split_credentials
from fair_dagster.pipelines.tracking.trainings import KEY_TAG, VERSION_TAG, TrackedTraining
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

MODEL_FOLDER = "onnx_model"
_PARENT = "mlflow.parentRunId"
_THEIRS = ("mlflow.", "zenml")
_PARAM_AGAIN = "fair.param."
"""Prefix of tags with the later values of params: MLflow keeps the first ones."""
# Without it MLflow's pages take an experiment for one of language models, and show no metrics on it.
_TRAINS_MODELS = {"mlflow.experimentKind": "custom_model_development"}
_METRICS_A_CALL, _TAGS_A_CALL = 1000, 100
_TIMEOUT, _UPLOAD_SECONDS = "MLFLOW_HTTP_REQUEST_TIMEOUT", "600"
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:|^databricks$")
_NOT_IN_NAMES = re.compile(r"[^\w\-./ ]", re.ASCII)

T = TypeVar("T")


def local_uri(settings: Settings) -> str:
    """The MLflow of this home: a database file, which needs no server."""
    return f"sqlite:///{settings.tracking_path / 'mlflow.db'}"


def client_environment(settings: Settings) -> dict[str, str]:
    """Variables under which MLflow's client is quiet, impatient, and keeps the files of local runs in this home."""
    uri, user_info = split_credentials(settings.tracking_uri if settings.tracking == "mlflow" else "")
    user, _, password = user_info.partition(":")
    # MLflow prints its URI and names it in errors: a password has to come to it by another way.
    secrets = {"MLFLOW_TRACKING_USERNAME": unquote(user), "MLFLOW_TRACKING_PASSWORD": unquote(password)}
    patience = {_TIMEOUT: "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    return {
        **{name: os.environ.get(name, value) for name, value in patience.items()},
        **(secrets if uri and user_info else {}),
        **_quiet(settings),
    }


def training_environment(settings: Settings, training: TrackedTraining) -> dict[str, str]:
    """Variables under which whatever a process logs by MLflow belongs to ``training``, and to this home."""
    return {
        # The tags of every run that is begun beside ZenML's.
        "MLFLOW_RUN_CONTEXT": json.dumps({KEY_TAG: training.key, "zenml": "fair-dagster"}),
        "MLFLOW_TRACKING_URI": local_uri(settings),
        "MLFLOW_REGISTRY_URI": local_uri(settings),
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(settings.tracking_path),
        **_quiet(settings),
    }


def _quiet(settings: Settings) -> dict[str, str]:
    return {
        "_MLFLOW_SERVER_ARTIFACT_ROOT": (settings.tracking_path / "artifacts").as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_DATA_DIR": str(settings.tracking_path / "wandb-data"),
        "WANDB_CACHE_DIR": str(settings.tracking_path / "wandb-data"),
    }


def server_uri(settings: Settings) -> str:
    """MLflow's tracking URI of ``FAIR_TRACKING_URI``, which may be a folder as well; without credentials."""
    uri, _ = split_credentials(settings.tracking_uri)
    return uri if _SCHEME.match(uri) else Path(uri).expanduser().resolve().as_uri()


class MlflowRuns:
    """The runs of one MLflow. Every method may raise whatever its client raises."""

    def __init__(self, uri: str, settings: Settings) -> None:
        """Open it; a database is made at its first use.

        Raises:
            MlflowException: nobody answers, or another version of MLflow made the database.
        """
        from mlflow import MlflowClient

        settings.tracking_path.mkdir(parents=True, exist_ok=True)
        self._uri = uri
        # In a file store or a new database two processes would make an experiment of one name each.
        self._lock = FileLock(settings.tracking_path / ".mlflow.lock")
        with self._lock:
            self.client: MlflowClient = MlflowClient(tracking_uri=uri)
            self.client.search_experiments(max_results=1)

    def experiment(self, name: str) -> str:
        """The id of an experiment, made when there is none.

        Raises:
            ServiceError: it was deleted; MLflow neither uses such a one nor makes another of its name.
        """
        from mlflow.exceptions import MlflowException

        with self._lock:
            found = self.client.get_experiment_by_name(name)
            if found is None:
                with contextlib.suppress(MlflowException):  # Another machine was faster.
                    self.client.create_experiment(name, tags=_TRAINS_MODELS)
                found = self.client.get_experiment_by_name(name)
        if found is None or found.lifecycle_stage != "active":
            raise ServiceError(f"MLflow's experiment {name!r} was deleted: restore it by `mlflow experiments restore`")
        return str(found.experiment_id)

    def of_tag(self, tag: str, value: str) -> "Sequence[Run]":
        """Runs with a tag, the oldest first; runs inside runs, such as the tries of a search, stay out."""
        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        found = self.client.search_runs(experiments, f"tags.`{tag}` = '{value}'", order_by=["start_time ASC"])
        return [run for run in found if _PARENT not in run.data.tags]

    def complete(self, training: TrackedTraining, model: Path | None) -> "Run":
        """Make one run of what a training on this machine has left, with all that is known of it, and end it."""
        run, *others = self.of_tag(KEY_TAG, training.key) or [self._create(training)]
        for other in others:
            # Autologging ends one run and begins another.
            self.add(run.info.run_id, _points_of(self.client, other), other.data.params, other.data.tags)
            self.add_files(run.info.run_id, files_of(other))
            self.client.delete_run(other.info.run_id)
        outcome = training.outcome()
        names = {"fair.zenml_run": "run_name", "fair.zenml_run_id": "run_id"}
        tags = training.all_tags | {tag: str(outcome[key]) for tag, key in names.items() if outcome.get(key)}
        points = self._later(run.info.run_id, _outcome_points(outcome))
        self.add(run.info.run_id, points, training.params, tags)
        # Meanwhile ZenML found it by the name of its own run.
        self.client.update_run(run.info.run_id, name=training.name)
        if model is not None:
            self.add_files(run.info.run_id, {f"{MODEL_FOLDER}/{model.name}": model})
        self._end(run.info.run_id, training)
        return self.client.get_run(run.info.run_id)

    def copy(self, source: "MlflowRuns", run: "Run", training: TrackedTraining) -> "Run":
        """Bring a complete run from another MLflow. One that is here, whole or in part, is filled up."""
        # A stack's own experiment tracker may have opened one.
        found = next(iter(self.of_tag(KEY_TAG, training.key)), None) or self._create(training)
        points = _points_of(source.client, run)
        self.add(found.info.run_id, points, run.data.params, run.data.tags)
        self.add_files(found.info.run_id, files_of(run))
        self._end(found.info.run_id, training)
        return found

    def mark(self, version_uuid: str, tags: Mapping[str, str]) -> None:
        """Add tags to all runs of a version."""
        for run in self.of_tag(VERSION_TAG, version_uuid):
            self.add(run.info.run_id, (), {}, tags)

    def add(self, run_id: str, points: "Iterable[Metric]", params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Add what the run does not have yet. A param that it has with another value becomes a tag."""
        from mlflow.entities import Param, RunTag

        data = self.client.get_run(run_id).data
        for name, group in _by_name(points).items():
            known = self.client.get_metric_history(run_id, name) if name in data.metrics else ()
            have = {(metric.step, str(metric.value)) for metric in known}
            new = [metric for metric in group if (metric.step, str(metric.value)) not in have]
            for metrics in _chunks(new, _METRICS_A_CALL):
                self.client.log_batch(run_id, metrics=metrics)
        first = [Param(*param) for param in params.items() if param[0] not in data.params]
        for some in _chunks(first, _TAGS_A_CALL):
            self.client.log_batch(run_id, params=some)
        again = {f"{_PARAM_AGAIN}{key}": text for key, text in params.items() if data.params.get(key, text) != text}
        ours = {key: text for key, text in tags.items() if not key.startswith(_THEIRS)}
        changed = [RunTag(*tag) for tag in (ours | again).items() if data.tags.get(tag[0]) != tag[1]]
        for few in _chunks(changed, _TAGS_A_CALL):
            self.client.log_batch(run_id, tags=few)

    def add_files(self, run_id: str, files: Mapping[str, Path]) -> None:
        """Add files by their path in the run; one that is there in its whole size is not sent again."""
        folders = {name.rpartition("/")[0] for name in files}
        there = {
            entry.path: entry.file_size
            for folder in folders
            for entry in self.client.list_artifacts(run_id, folder or None)
        }
        with _patience():
            for name, path in files.items():
                if there.get(name) != path.stat().st_size:
                    self.client.log_artifact(run_id, str(path), name.rpartition("/")[0] or None)

    def url(self, run: "Run") -> str:
        """Where people look at a run: a page where there is one."""
        base = self._uri.rstrip("/")
        if not base.startswith(("http://", "https://")):
            return base
        # Recent servers show pages of language models otherwise; older ones pass over it.
        page = f"{base}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
        return f"{page}?workflowType=machine_learning"

    def _create(self, training: TrackedTraining) -> "Run":
        begun = _milliseconds(training.begun)
        tags = {**training.all_tags, "mlflow.source.name": "fair-dagster"}
        experiment = self.experiment(training.experiment)
        return self.client.create_run(experiment, start_time=begun, tags=tags, run_name=training.name)

    def _end(self, run_id: str, training: TrackedTraining) -> None:
        self.client.set_terminated(run_id, training.ending, _milliseconds(training.ended))

    def _later(self, run_id: str, points: "Iterable[Metric]") -> "Iterator[Metric]":
        """Those that come after what is known of their metric: a pipeline has reported most of them before."""
        known = self.client.get_run(run_id).data.metrics
        for name, group in _by_name(points).items():
            history = self.client.get_metric_history(run_id, name) if name in known else ()
            last = max((metric.step for metric in history), default=-1)
            yield from (point for point in group if point.step > last)


def _points_of(client: "MlflowClient", run: "Run") -> "Iterator[Metric]":
    for name in run.data.metrics:
        yield from client.get_metric_history(run.info.run_id, name)


def files_of(run: "Run") -> dict[str, Path]:
    """The files of a run of this machine, by their path in the run."""
    folder = artifact_folder(run)
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def artifact_folder(run: "Run") -> Path:
    """Where the files of a run of this machine are."""
    return Path(unquote(urlsplit(run.info.artifact_uri).path))


def allowed_name(name: str) -> str:
    """``name`` as MLflow takes it for a metric."""
    return _NOT_IN_NAMES.sub("_", name)


def _outcome_points(outcome: Mapping[str, Any]) -> "Iterator[Metric]":
    """The numbers that came through ZenML: on stacks that run steps on other machines all that there is."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    for name, values in (outcome.get("loss_history") or {}).items():
        for step, value in enumerate(values, start=1):
            yield Metric(allowed_name(name), float("nan") if value is None else float(value), now, step)
    scores = {**(outcome.get("metrics") or {}), "training_wall_seconds": outcome.get("wall_seconds")}
    for name, value in scores.items():
        if value is not None:
            yield Metric(allowed_name(name), float(value), now, 0)


def _by_name(points: "Iterable[Metric]") -> "dict[str, list[Metric]]":
    groups: dict[str, list[Metric]] = {}
    for point in points:
        groups.setdefault(point.key, []).append(point)
    return groups


def _milliseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def _chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Time for a file: a server answers when it has handed it on to its own store, and says nothing until then."""
    before = os.environ.get(_TIMEOUT, "")
    os.environ[_TIMEOUT] = str(max(int(_UPLOAD_SECONDS), int(before or 0)))
    try:
        yield
    finally:
        os.environ[_TIMEOUT] = before or "10"

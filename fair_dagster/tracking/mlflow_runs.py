"""Runs in MLflow: on a server, or in a folder, which ``mlflow-skinny`` can write without any database."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from fair_dagster.domain.errors import ServiceError
from fair_dagster.domain.urls import split_credentials
from fair_dagster.settings import Settings
from fair_dagster.tracking.outbox import RUNNING, Amendment, Ending, TrackedRun
from fair_dagster.tracking.points import Batch
from fair_dagster.tracking.tracker import Opened

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY_TAG = "fair.tracking_key"
VERSION_TAG = "fair.zenml_version_id"
_PARAM_AGAIN = "fair.param."
"""Prefix of tags with the later values of params: the first ones stay."""
# Without it MLflow's pages take an experiment for one of language models, and show no metrics on it.
_TRAINS_MODELS = {"mlflow.experimentKind": "custom_model_development"}
_METRICS_A_CALL = 1000
_TAGS_A_CALL = 100
_LOCK_SECONDS = 10.0
_TIMEOUT, _UPLOAD_SECONDS = "MLFLOW_HTTP_REQUEST_TIMEOUT", 600
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:|^databricks$")

T = TypeVar("T")


class MlflowTracker:
    """Client of one MLflow. ``FAIR_TRACKING_URI`` names it: any tracking URI of MLflow's, or a folder."""

    name = "mlflow"

    def __init__(self, settings: Settings) -> None:
        self._uri, self._folder = _place(settings)
        # One object: the lock is taken again inside itself.
        self._lock = FileLock(_lock_path(self._folder), timeout=_LOCK_SECONDS) if self._folder else None
        self._opened: MlflowClient | None = None

    def open(self, run: TrackedRun, known: str | None, zenml_run: str | None) -> Opened:
        """Begin the run, go on with it, or take the one that ZenML's own experiment tracker has begun."""
        found = self._client.get_run(known) if known else None
        if found is None and run.adopt:
            found = self._zenmls_run(run, zenml_run)
        if found is None and known == "":
            found = next(iter(self._search(f"tags.`{KEY_TAG}` = '{run.key}'", self._experiment(run.experiment))), None)
        tags = {**run.tags, KEY_TAG: run.key, VERSION_TAG: run.version_uuid, "mlflow.source.name": "fair-dagster"}
        if found is None:
            started = int(datetime.fromisoformat(run.begun).timestamp() * 1000)
            experiment = self._experiment(run.experiment)
            found = self._client.create_run(experiment, start_time=started, tags=tags, run_name=run.name)
        opened = Opened(found.info.run_id, self._url(found.info))
        if known != opened.id:
            self.log(opened, Batch(tags=tags, params=run.params))
        return opened

    def log(self, opened: Opened, batch: Batch) -> None:
        from mlflow.entities import Metric, Param, RunTag

        for points in _chunks(batch.points, _METRICS_A_CALL):
            metrics = [Metric(point.name, point.value, point.time, point.step) for point in points]
            self._client.log_batch(opened.id, metrics=metrics)
        new, again = self._params(opened, batch.params)
        for params in _chunks(tuple(new.items()), _TAGS_A_CALL):
            self._client.log_batch(opened.id, params=[Param(*param) for param in params])
        for tags in _chunks(tuple({**batch.tags, **again}.items()), _TAGS_A_CALL):
            self._client.log_batch(opened.id, tags=[RunTag(*tag) for tag in tags])

    def _params(self, opened: Opened, params: Mapping[str, str]) -> tuple[Mapping[str, str], dict[str, str]]:
        """Params that the run does not have yet, and as tags those that it has with another value.

        MLflow takes no second value, and with it nothing of the call.
        """
        if not params:
            return {}, {}
        known = self._client.get_run(opened.id).data.params
        again = {f"{_PARAM_AGAIN}{key}": text for key, text in params.items() if known.get(key, text) != text}
        return {key: text for key, text in params.items() if key not in known}, again

    def add_files(self, opened: Opened, files: Mapping[str, Path]) -> None:
        with _patience():
            for name, path in files.items():
                if path.is_dir():
                    self._client.log_artifacts(opened.id, str(path), name)
                else:
                    self._client.log_artifact(opened.id, str(path), None if name == path.name else name)

    def close(self, opened: Opened, ending: Ending, ended: datetime) -> None:
        self._client.set_terminated(opened.id, ending, int(ended.timestamp() * 1000))

    def amend(self, amendment: Amendment) -> None:
        """Find the runs by the version's tag: this home may never have sent them."""
        where = f"tags.`{VERSION_TAG}` = '{amendment.version_uuid}'"
        for run in self._search(where, *self._experiments()):
            self.log(Opened(run.info.run_id, ""), Batch(tags=amendment.tags))
            if amendment.ending is not None and run.info.status == RUNNING:
                self._client.set_terminated(run.info.run_id, amendment.ending)

    @property
    def _client(self) -> "MlflowClient":
        if self._opened is None:
            from mlflow import MlflowClient

            with self._alone():  # The folder is made at the first use, and by one process.
                self._opened = MlflowClient(tracking_uri=self._uri)
                self._opened.search_experiments(max_results=1)
        return self._opened

    def _experiment(self, name: str) -> str:
        """The id of an experiment, made when there is none.

        Raises:
            ServiceError: it was deleted; MLflow neither uses such a one nor makes another of its name.
        """
        with self._alone():
            found = self._client.get_experiment_by_name(name)
            if found is None:
                found = self._client.get_experiment(self._make_experiment(name))
        if found.lifecycle_stage != "active":
            advice = f"restore it (`mlflow experiments restore --experiment-id {found.experiment_id}`)"
            raise ServiceError(f"MLflow's experiment {name!r} was deleted: {advice}")
        return str(found.experiment_id)

    def _make_experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        try:
            return str(self._client.create_experiment(name, tags=_TRAINS_MODELS))
        except MlflowException:
            # Another sender of this server was faster.
            found = self._client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)

    def _zenmls_run(self, run: TrackedRun, zenml_run: str | None) -> Any:
        """The run that ZenML's experiment tracker opened; named after the ZenML run, in an experiment of its choice."""
        match = f"= '{zenml_run}'" if zenml_run else f"LIKE '{run.adopt}%'"
        begun = int(datetime.fromisoformat(run.begun).timestamp() * 1000)
        where = f"attributes.start_time >= {begun} and tags.`mlflow.runName` {match}"
        return next(iter(self._search(where, *self._experiments())), None)

    def _experiments(self) -> Sequence[str]:
        return [experiment.experiment_id for experiment in self._client.search_experiments()]

    def _search(self, where: str, *experiments: str) -> Sequence[Any]:
        runs: Sequence[Any] = self._client.search_runs(list(experiments), filter_string=where)
        return runs

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """In a folder two processes would make an experiment of one name each."""
        if self._lock is None:
            yield
            return
        Path(self._lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            yield

    def _url(self, info: Any) -> str:
        if self._folder is not None:
            return str(Path(unquote(urlsplit(info.artifact_uri).path)).parent)
        base, _ = split_credentials(self._uri.rstrip("/"))
        if not base.startswith(("http://", "https://")):
            return f"{base} run {info.run_id}"
        # Recent servers show pages of language models otherwise; older ones pass over it.
        return f"{base}/#/experiments/{info.experiment_id}/runs/{info.run_id}?workflowType=machine_learning"


def _place(settings: Settings) -> tuple[str, Path | None]:
    """MLflow's tracking URI, and the folder where it is one."""
    uri = settings.tracking_uri
    if uri and not uri.startswith("file:") and _SCHEME.match(uri):
        return uri, None
    if uri.startswith("file:"):
        folder = Path(unquote(urlsplit(uri).path))
    else:
        folder = Path(uri).expanduser().resolve() if uri else settings.tracking_path / "mlflow"
    return folder.as_uri(), folder


def _lock_path(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Time for a file: a server answers when it has handed it on to its own store, and says nothing until then."""
    before = os.environ.get(_TIMEOUT)
    os.environ[_TIMEOUT] = str(max(_UPLOAD_SECONDS, int(before or 0)))
    try:
        yield
    finally:
        if before is None:
            del os.environ[_TIMEOUT]
        else:
            os.environ[_TIMEOUT] = before

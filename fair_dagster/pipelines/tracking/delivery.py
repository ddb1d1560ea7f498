"""Completing the local runs of trainings that have ended, and copying them to the tracker that the settings name.

May be tried any number of times, by any process of this home: a run is in the other tracker once. A training keeps
its file until all of it is there.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from fair_dagster.domain.errors import FairError
from fair_dagster.domain.urls import redact
from fair_dagster.domain.versions import ONNX_ARTIFACT
from fair_dagster.pipelines.tracking.mlflow_runs import (
    MlflowRuns,
    artifact_folder,
    client_environment,
    local_uri,
    server_uri,
)
from fair_dagster.pipelines.tracking.trainings import TrackedTraining, deletions_folder, trainings_folder
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class Delivered:
    """A training whose run is complete: its address for people, and its id in the tracker."""

    training: TrackedTraining
    url: str
    run_id: str


@dataclass(frozen=True)
class Delivery:
    """What was delivered, and why the rest was not."""

    delivered: tuple[Delivered, ...] = ()
    problem: str | None = None


def deliver(settings: Settings, trainings: Iterable[TrackedTraining]) -> Delivery:
    """Complete and copy trainings that have ended; stops at the first that cannot be. Never raises."""
    done: list[Delivered] = []
    with _variables(client_environment(settings)):
        try:
            with FileLock(trainings_folder(settings) / ".lock"):
                local = MlflowRuns(local_uri(settings), settings)
                send = _target(settings, local)
                for training in trainings:
                    if training.ending is None or not training.path(settings).is_file():
                        continue  # Another process was faster.
                    try:
                        done.append(_deliver(settings, local, send, training))
                    except Exception as error:
                        # The tracker's client raises what it likes.
                        training.amend(settings, problem=_text(error))
                        raise
                _mark_deleted(settings, local)
        except Exception as error:
            return Delivery(tuple(done), _text(error))
    return Delivery(tuple(done))


_Send = Callable[[TrackedTraining, "Run"], Delivered]


def _target(settings: Settings, local: MlflowRuns) -> _Send | None:
    """How a complete run gets to the other tracker; None where the local one is all."""
    if settings.tracking == "wandb":
        from fair_dagster.pipelines.tracking.wandb_runs import copy_to_wandb

        return lambda training, run: Delivered(training, copy_to_wandb(settings, local, run, training), training.key)
    if not settings.tracking_uri:
        return None
    opened: list[MlflowRuns] = []

    def send(training: TrackedTraining, run: "Run") -> Delivered:
        # Opened late: a tracker that is away keeps no local run from being completed.
        server = opened[0] if opened else MlflowRuns(server_uri(settings), settings)
        opened[:] = [server]
        copied = server.copy(local, run, training)
        return Delivered(training, server.url(copied), copied.info.run_id)

    return send


def _deliver(settings: Settings, local: MlflowRuns, send: _Send | None, training: TrackedTraining) -> Delivered:
    run = local.complete(training, _model(settings, training))
    if send is None:
        delivered = Delivered(training, local.url(run), run.info.run_id)
    else:
        delivered = send(training, run)
        if settings.tracking_uri:
            # The server has them; the local run keeps its numbers.
            shutil.rmtree(artifact_folder(run), ignore_errors=True)
    training.path(settings).unlink(missing_ok=True)
    return delivered


def _model(settings: Settings, training: TrackedTraining) -> Path | None:
    """The exported model, where it can be had."""
    uri = (training.outcome().get("artifacts") or {}).get(ONNX_ARTIFACT)
    with contextlib.suppress(FairError, OSError):
        if uri:
            from fair_dagster.pipelines.zenml.artifacts import artifact_file

            return artifact_file(settings, uri, Path(training.result).parent / "tracked")
    return None


def _mark_deleted(settings: Settings, local: MlflowRuns) -> None:
    """Runs stay as a record of what was tried, and say that their version is gone."""
    for path in deletions_folder(settings).glob("*"):
        tags = {"fair.deleted": path.read_text()}
        local.mark(path.name, tags)
        if settings.tracking == "mlflow" and settings.tracking_uri:
            MlflowRuns(server_uri(settings), settings).mark(path.name, tags)
        path.unlink(missing_ok=True)


def _text(error: Exception) -> str:
    return redact(str(error) if isinstance(error, FairError) else f"{type(error).__name__}: {error}")


@contextlib.contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process for a while; MLflow's client takes its options from nowhere else."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})

"""Trainings in the experiment tracker: noted before they begin, and what of them is not complete yet.

Nothing here waits for a tracker, and nothing raises because of one, but what somebody asked to be sent now.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from fair_dagster.domain.errors import FairError, StorageError
from fair_dagster.domain.slugs import version_id
from fair_dagster.flows.finetunes.allocations import Allocation
from fair_dagster.flows.services import Services
from fair_dagster.flows.training_files import CONFIG_FILE, run_folder
from fair_dagster.net.files import write_bytes
from fair_dagster.net.processes import Process
from fair_dagster.pipelines.metadata import TRACKING_VARIABLE
from fair_dagster.pipelines.tracking.mlflow_runs import training_environment
from fair_dagster.pipelines.tracking.trainings import Ending, TrackedTraining, deletions_folder, open_trainings

if TYPE_CHECKING:
    from fair_dagster.pipelines.tracking.delivery import Delivery


@dataclass
class Tracked:
    """A training that is tracked, or is not.

    Attributes:
        environment: variables for the process that trains.
        problem: why it is not.
    """

    training: TrackedTraining | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None


@contextlib.contextmanager
def tracked(services: Services, owner: Allocation, dagster_run: str, result: Path) -> Iterator[Tracked]:
    """Track what happens inside as one training of ``owner``.

    Args:
        dagster_run: id of Dagster's run.
        result: the runner's result file.
    """
    found = _begin(services, owner, dagster_run, result)
    try:
        yield found
    except BaseException:
        _end(services, found, failed=True)
        raise
    _end(services, found, failed=False)


def forget(services: Services, uuid: str) -> None:
    """Let the runs of a version that is being deleted say so: they stay as a record, and its number may come again."""
    if services.settings.tracking == "mlflow":
        with contextlib.suppress(StorageError):
            write_bytes(deletions_folder(services.settings) / uuid, datetime.now(UTC).isoformat().encode())


@dataclass(frozen=True)
class Waiting:
    """A training whose run is not complete, or not in the tracker yet.

    ``state`` is ``running`` while the training goes on, ``waiting`` afterwards.
    """

    key: str
    state: str
    problem: str | None


def waiting(services: Services) -> list[Waiting]:
    """What is not complete yet, the oldest first."""
    return [
        Waiting(one.key, "running" if one.ending is None else "waiting", one.problem)
        for one in open_trainings(services.settings)
    ]


def due(services: Services) -> list[str]:
    """What a delivery would do something about: keys of trainings that have ended, and deleted versions."""
    deleted = [path.name for path in deletions_folder(services.settings).glob("*")]
    return [one.key for one in open_trainings(services.settings) if one.ending is not None] + deleted


def deliver_waiting(services: Services) -> "Delivery":
    """Complete the runs of trainings that have ended, and copy them to the tracker. Never raises."""
    from fair_dagster.pipelines.tracking.delivery import deliver

    return deliver(services.settings, open_trainings(services.settings))


def send_waiting(services: Services) -> list[Waiting]:
    """Send what waits, now; returns what is left."""
    if due(services):
        deliver_waiting(services)
    return [one for one in waiting(services) if one.state == "waiting"]


def _begin(services: Services, owner: Allocation, dagster_run: str, result: Path) -> Tracked:
    settings = services.settings
    if settings.tracking == "none":
        return Tracked()
    try:
        training = _training(services, owner, dagster_run, result)
        path = training.write(settings)
    except (FairError, OSError) as error:
        return Tracked(problem=f"this training is not tracked: {error}")
    return Tracked(training, training_environment(settings, training) | {TRACKING_VARIABLE: str(path)})


def _training(services: Services, owner: Allocation, dagster_run: str, result: Path) -> TrackedTraining:
    request, settings = owner.request, services.settings
    config = yaml.safe_load((run_folder(services.settings, owner.partition, owner.uuid) / CONFIG_FILE).read_text())
    begun = datetime.now(UTC)
    return TrackedTraining(
        key=f"{owner.partition}-{owner.uuid[:8]}-{dagster_run[:8]}-{begun:%H%M%S}",
        experiment=request.base_model,
        name=owner.partition,
        version_uuid=owner.uuid,
        params={name: str(value) for name, value in config["parameters"]["hyperparameters"].items()},
        tags=_tags(owner, dagster_run),
        begun=begun.isoformat(),
        result=str(result),
        elsewhere=bool(settings.tracking_uri) or settings.tracking == "wandb",
        owner=str(Process.of(os.getpid())),
    )


def _tags(owner: Allocation, dagster_run: str) -> dict[str, str]:
    """The ids under which everything else knows the training. Slugs and versions are those of the STAC items."""
    request = owner.request
    return {
        "fair.model": request.model_name,
        "fair.version": owner.partition,
        "fair.base_model": version_id(request.base_model, request.base_model_version),
        "fair.dataset": version_id(request.dataset, request.dataset_version),
        "dagster.run_id": dagster_run,
        **({"fair.rerun_of": request.rerun_of} if request.rerun_of else {}),
        **({"fair.user": request.user} if request.user else {}),
    }


def _end(services: Services, found: Tracked, *, failed: bool) -> None:
    if found.training is None:
        return
    ending: Ending = "FINISHED"
    if failed:
        # Without a result it was killed, or stopped before it could say so.
        ending = "FAILED" if found.training.outcome().get("status") in ("failed", "completed") else "KILLED"
    ended = found.training.ended_as(ending)
    # When its file cannot be written, it counts as killed once this process is gone.
    with contextlib.suppress(FairError, OSError):
        found.training.amend(services.settings, ending=ended.ending, ended=ended.ended)

"""What is kept of a training: the version that was allocated for it, its files, and the ZenML runs that it started.

What a finetune may be and what its configuration says stands in ``finetunes``.
"""

import contextlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fair_dagster.domain.errors import FairError, NotFoundError, ProblemsError, RefusedError, StorageError
from fair_dagster.domain.requests import FinetuneRequest
from fair_dagster.domain.slugs import split_version_id
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.flows.services import Services
from fair_dagster.flows.training_files import CONFIG_FILE, TRAININGS, run_folder
from fair_dagster.net.files import write_json
from fair_dagster.pipelines.zenml.run_records import RunRecord
from fair_dagster.settings import Settings
from fair_dagster.storage.store import ArtifactStore

if TYPE_CHECKING:
    from fair_dagster.pipelines.zenml.model_versions import ModelVersions
    from fair_dagster.pipelines.zenml.runs import Runs


@dataclass(frozen=True)
class Allocation:
    """A version that was allocated for a request: its id (= partition key) and ZenML's UUID."""

    partition: str
    uuid: str
    request: FinetuneRequest

    @property
    def number(self) -> int:
        return split_version_id(self.partition)[1] or 0


def allocate(services: Services, request: FinetuneRequest) -> VersionRecord:
    """Let ZenML give the request a version number, and keep the request with it.

    Raises:
        ServiceError, StorageError: ZenML or the disk refused; no version is left behind.
    """
    version = services.versions.create(request.model_name, tags=["fair-dagster"])
    try:
        services.versions.log(version.uuid, request.to_metadata())
        write_json(_note_path(services.settings, version.id), asdict(Allocation(version.id, version.uuid, request)))
    except Exception:
        withdraw(services, version)
        raise
    return version


def withdraw(services: Services, version: VersionRecord) -> None:
    """Take back an allocation that nothing came of; a model without any other version goes too."""
    # The error that led here is the one to be told: a disk that is full may refuse this as well.
    with contextlib.suppress(FairError, OSError):
        services.versions.delete(version.name, version.number)
        forget(services.artifacts, services.settings, version.id, version.uuid)
        delete_empty_model(services.versions, version.name)


def delete_empty_model(versions: "ModelVersions", name: str) -> None:
    """Delete a model of which no version is left; nothing happens when there is one."""
    with contextlib.suppress(NotFoundError):
        if not versions.list(name):
            versions.delete_model(name)


def allocation_of(versions: "ModelVersions", settings: Settings, partition: str) -> Allocation:
    """What a partition key was allocated for: from the note left here, which costs no import of ZenML, or from ZenML.

    Raises:
        NotFoundError: ZenML has no such version.
        RefusedError: the key is no version id, or the version was not made by this system.
    """
    name, number = split_version_id(partition)
    if number is None:
        raise RefusedError(f"partition {partition!r}", ["it must look like <model name>-v<number>"])
    try:
        note = json.loads(_note_path(settings, partition).read_text())
        return Allocation(note["partition"], note["uuid"], FinetuneRequest(**note["request"]))
    except FileNotFoundError:
        version = versions.get(name, number)
    request = FinetuneRequest.of(version)
    if request is None:
        raise RefusedError(f"partition {partition!r}", ["its ZenML version holds no finetune request"])
    return Allocation(partition, version.uuid, request)


def require_owner(versions: "ModelVersions", settings: Settings, partition: str, uuid: str | None) -> Allocation:
    """The allocation of a partition, for a run that was started for the version ``uuid``.

    ZenML gives the number of a deleted version to the next one, and so a partition to another request. A run without
    a version of its own (None), as the UI starts it, takes the partition as it is.

    Raises:
        NotFoundError: the version is gone, and nothing has its number.
        RefusedError: the partition belongs to another version by now.
    """
    allocation = allocation_of(versions, settings, partition)
    if uuid is not None and allocation.uuid != uuid:
        reason = (
            f"the version it was started for ({uuid}) was deleted, and ZenML gave its number to another one "
            f"({allocation.uuid}), which stays as it is; start the finetune again"
        )
        raise RefusedError(f"training of {partition!r}", [reason])
    return allocation


def config_path(settings: Settings, partition: str, uuid: str) -> Path:
    return run_folder(settings, partition, uuid) / CONFIG_FILE


def zenml_runs(services: Services, partition: str, uuid: str | None, limit: int = 50) -> list[RunRecord]:
    """The ZenML runs of the version ``uuid``, or of the one that owns the partition; the newest first.

    Empty when there is no such version any more.
    """
    try:
        return services.zenml_runs.list(
            version_uuid=uuid or allocation_of(services.versions, services.settings, partition).uuid, limit=limit
        )
    except ProblemsError:
        return []


def end_runs(services: Services, partition: str, uuid: str | None, reason: str) -> None:
    """Tell ZenML that the runs of a version have ended whose process is gone; it would say ``running`` for ever."""
    for run in zenml_runs(services, partition, uuid):
        if not run.finished:
            services.zenml_runs.mark_stopped(run.id, reason)


def require_at_rest(zenml_runs: "Runs", version: VersionRecord, dagster_runs: Sequence[str]) -> None:
    """Make sure that nothing is training the version.

    Args:
        dagster_runs: ids of Dagster's runs of its partition that go on; ZenML knows a training seconds later.

    Raises:
        RefusedError: a run of it goes on.
    """
    going = [f"the Dagster run {run_id}" for run_id in dagster_runs]
    if not going:
        going = [run.name for run in zenml_runs.list(version_uuid=version.uuid) if not run.finished]
    if going:
        raise RefusedError(f"deletion of {version.id!r}", [f"it is being trained by {going[0]}; stop that run first"])


def forget(artifacts: ArtifactStore, settings: Settings, partition: str, uuid: str) -> None:
    """Remove what was kept of a version's training; for a version that was deleted."""
    folder = run_folder(settings, partition, uuid)
    shutil.rmtree(folder, ignore_errors=True)
    # The version is gone by now: what a store that is away still holds of it is found by reconciliation.
    with contextlib.suppress(StorageError):
        artifacts.remove(f"{TRAININGS}/{folder.name}")
    path = _note_path(settings, partition)
    if path.is_file() and json.loads(path.read_text())["uuid"] == uuid:
        path.unlink()


def _note_path(settings: Settings, partition: str) -> Path:
    return settings.runs_path / "allocated" / f"{partition}.json"

"""What changes something, executed as Dagster runs: register, finetune, change a stage, delete, predict.

Callers have checked what is asked for. Each function leaves ZenML, the catalog and Dagster in step when it fails.
``Fair`` puts these into a user's words; what a run does stands in ``flows``.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fair_dagster.domain import items
from fair_dagster.domain.errors import FairError, ProblemsError
from fair_dagster.domain.publication.changes import ItemKey
from fair_dagster.domain.publication.findings import Done, Finding
from fair_dagster.domain.requests import FinetuneRequest
from fair_dagster.domain.versions import Stage, VersionRecord
from fair_dagster.flows import tracking
from fair_dagster.flows.base_models import merges, registration
from fair_dagster.flows.finetunes import allocations, parcels
from fair_dagster.flows.predictions import Prediction
from fair_dagster.flows.publication import families
from fair_dagster.flows.reconciliation.report import Progress, no_progress
from fair_dagster.flows.registries import models
from fair_dagster.flows.services import Services
from fair_dagster.oci.references import Reference
from fair_dagster.orchestration import keys, reconciliation, run_config
from fair_dagster.orchestration.instance import add_partition, delete_partition, open_instance
from fair_dagster.orchestration.runs.execution import execute, start
from fair_dagster.orchestration.runs.launches import Launch
from fair_dagster.orchestration.runs.records import going
from fair_dagster.orchestration.runs.started import Started


def register_base_model(services: Services, slug: str) -> None:
    _execute(services, keys.BASE_MODELS_JOB, assets=[keys.base_model(slug).path])


def sync_base_models(services: Services, found: merges.MergesLook) -> list[merges.Followed]:
    """Bring each folder that a look at the branch found in step with it, a run each; one refusal stops no other."""
    followed = []
    for merge in found.merges:
        tags = {keys.TAG_MODEL: merge.slug, **keys.commit_tags(merge.commit.sha, merge.commit.subject)}
        launch = Launch(keys.SYNC_JOB, config=run_config.configure_sync(merge.folder), tags=tags)
        try:
            execute(services.settings, launch)
        except ProblemsError as error:
            followed.append(merges.Followed(merge, "refused", error.problems))
        else:
            followed.append(merges.Followed(merge, merges.standing(services.catalog, merge.slug)))
    return followed


def register_artifact(services: Services, artifact: Reference) -> str:
    """Check a model of a registry, register it and build its image; returns the id of its item, empty without one.

    Raises:
        NotFoundError: there is no such artifact.
        RefusedError: it is not trusted, its item is not valid, or its name is taken; every reason is named.
        ServiceError: the registry refuses, or does not answer.
    """
    pinned = artifact.at(services.registries.digest_of(artifact))
    tags = {keys.TAG_ARTIFACT: str(pinned), keys.TAG_CAUSE: f"asked for as {artifact}"}
    execute(services.settings, Launch(keys.PUSHED_JOB, config=run_config.configure_pushed(str(pinned)), tags=tags))
    return models.is_known(services.catalog, pinned) or ""


def register_dataset(services: Services, slug: str, item_path: Path) -> None:
    """Publish the dataset ``slug`` that ``item_path`` describes, as the partition of that name."""
    config = run_config.configure_dataset(item_path)
    added = add_partition(services.settings, keys.DATASETS_PARTITIONS_NAME, slug)
    try:
        _execute(services, keys.DATASETS_JOB, partition=slug, config=config)
    except Exception:
        # The error that led here is the one to be told: a disk that is full may refuse this as well.
        with suppress(FairError):
            if added:
                delete_partition(services.settings, keys.DATASETS_PARTITIONS_NAME, slug)
        raise


def start_finetune(services: Services, request: FinetuneRequest) -> Started:
    """Let ZenML allocate a version for ``request`` and start the run that fills it."""
    version = allocations.allocate(services, request)
    partitions = keys.finetunes_name(request.base_model)
    launch = Launch(
        keys.finetune_job(request.base_model),
        partition=version.id,
        tags={
            keys.TAG_MODEL: request.model_name,
            keys.TAG_VERSION: version.id,
            keys.TAG_ZENML_VERSION: version.uuid,
        },
    )
    try:
        add_partition(services.settings, partitions, version.id)
        process = start(services.settings, launch)
    except Exception:
        allocations.withdraw(services, version)
        with suppress(FairError):
            delete_partition(services.settings, partitions, version.id)
        raise
    return Started(launch.run_id, version.id, services, process)


def change_stage(services: Services, name: str, number: int, stage: Stage) -> VersionRecord:
    """Change a version's stage in ZenML and let the catalog follow; when it cannot, ZenML is set back.

    Raises:
        NotFoundError: no such version.
        RefusedError: a promotion of what cannot be published; nothing has changed.
    """
    before = services.versions.list(name)
    version = families.set_stage(services, name, number, stage)
    try:
        _publish(services, version)
    except Exception:
        families.undo_stage(services, name, number, before)
        raise
    return version


def delete_version(services: Services, name: str, number: int) -> None:
    """Delete a version from the catalog, then from ZenML, then from Dagster; with its last version a model goes too.

    Raises:
        NotFoundError: no such version.
        RefusedError: it is being trained.
    """
    version = services.versions.get(name, number)
    allocations.require_at_rest(services.zenml_runs, version, going(services, version.id))
    _recompute(services, name, without=version.uuid)
    try:
        services.versions.delete(name, number)
    except Exception:
        _recompute(services, name)
        raise
    if request := FinetuneRequest.of(version):
        delete_partition(services.settings, keys.finetunes_name(request.base_model), version.id)
        tracking.forget(services, version.id, version.uuid)
        allocations.forget(services.artifacts, services.settings, version.id, version.uuid)
    allocations.delete_empty_model(services.versions, name)


def start_prediction(services: Services, prepared: Prediction) -> Started:
    """Start a prediction that has been checked. The subject is the GeoJSON file."""
    config = {"model": prepared.model, "output": str(prepared.output)}
    if services.settings.executor == "celery":
        config["parcel"] = parcels.pack(services.artifacts, prepared)
    else:
        config |= {"config_path": str(prepared.config_path), "result_path": str(prepared.result_path)}
    launch = Launch(
        keys.PREDICT_JOB,
        config=run_config.configure_prediction(config),
        tags={keys.TAG_MODEL: prepared.model},
    )
    try:
        process = start(services.settings, launch)
    except BaseException:
        if "parcel" in config:
            parcels.discard(services.artifacts, config["parcel"])
        raise
    return Started(launch.run_id, str(prepared.output), services, process)


def refresh_collections(services: Services) -> None:
    _execute(services, keys.COLLECTIONS_JOB)


@dataclass(frozen=True)
class Reconciled:
    """What a repair did, and what remains to be looked at."""

    done: tuple[Done, ...]
    remaining: tuple[Finding, ...]


def drift(services: Services, *, checksums: bool = True, progress: Progress | None = None) -> list[Finding]:
    """The drift report, with Dagster's partitions. Nothing is changed, and no run is recorded."""
    with open_instance(services.settings) as instance:
        return reconciliation.drift(services, instance, checksums=checksums, progress=progress or no_progress)


def reconcile(
    services: Services, *, checksums: bool = True, all_deleted: bool = False, progress: Progress | None = None
) -> Reconciled:
    """Repair what differs from what it should be; works without a daemon, and records no run."""
    watch = progress or no_progress
    with open_instance(services.settings) as instance:
        findings = reconciliation.drift(services, instance, checksums=checksums, progress=watch)
        done = reconciliation.reconcile(services, instance, findings, watch, all_deleted=all_deleted)
        remaining = reconciliation.drift(services, instance, checksums=checksums, progress=watch) if findings else []
    return Reconciled(tuple(done), tuple(remaining))


def _publish(services: Services, version: VersionRecord) -> None:
    """Recompute the family as the partition of ``version``, or by name where that would claim too much.

    That is when its base model is not here, or when the version is not one that the catalog holds.
    """
    request = FinetuneRequest.of(version)
    slugs = {registration.slug_of_folder(f) for f in registration.usable_folders(services.settings.models)}
    in_catalog = version.stage == "production" or _is_published(services, version)
    if request is None or request.base_model not in slugs or not in_catalog:
        _recompute(services, version.name)
        return
    add_partition(services.settings, keys.finetunes_name(request.base_model), version.id)
    _execute(services, keys.publish_job(request.base_model), partition=version.id)


def _is_published(services: Services, version: VersionRecord) -> bool:
    item = services.catalog.get(ItemKey(items.LOCAL_MODELS, version.id))
    return item is not None and item["properties"].get(items.ZENML_UID) == version.uuid


def _recompute(services: Services, name: str, *, without: str = "") -> None:
    _execute(services, keys.RECOMPUTE_JOB, config=run_config.configure_recompute(name, without=without))


def _execute(
    services: Services,
    job: str,
    *,
    partition: str | None = None,
    config: Mapping[str, Any] | None = None,
    assets: Sequence[Sequence[str]] = (),
) -> None:
    execute(services.settings, Launch(job, partition=partition, config=config or {}, assets=assets))

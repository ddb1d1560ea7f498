"""Local models: promoted versions as items. Three steps, so that an operator sees which one failed.

gather reads the catalog and ZenML, publish copies artifacts, apply writes the catalog. Promote, archive and delete
change ZenML and then take this same road.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from fair_dagster.domain import items
from fair_dagster.domain.errors import CatalogError, FairError, NotFoundError, RefusedError, ServiceError, StorageError
from fair_dagster.domain.items import damage
from fair_dagster.domain.items.artifacts import PublishedArtifact
from fair_dagster.domain.items.damage import DamagedItem, Scan
from fair_dagster.domain.items.migrations import current
from fair_dagster.domain.publication.changes import ChangeSet, Item
from fair_dagster.domain.publication.desired import desired_items, items_of, local_family, was_promoted
from fair_dagster.domain.publication.drift import diff, is_uuid
from fair_dagster.domain.publication.local_items import (
    CHECKPOINT_ASSET,
    CONFIG_ASSET,
    LOSS_ASSET,
    MODEL_ASSET,
    THUMBNAIL_ASSET,
    local_item,
)
from fair_dagster.domain.requests import PROMOTION_KEY, FinetuneRequest
from fair_dagster.domain.slugs import version_id
from fair_dagster.domain.versions import Stage, VersionRecord
from fair_dagster.flows.finetunes.allocations import CONFIG_FILE, run_folder
from fair_dagster.flows.finetunes.parcels import fetch_training
from fair_dagster.flows.finetunes.training import parents
from fair_dagster.flows.publication.artifacts import (
    artifact_of,
    loss_content,
    named_artifacts,
    prefix_of,
    publication_problems,
)
from fair_dagster.flows.reconciliation.artifacts import remove_unused
from fair_dagster.flows.reconciliation.places import is_there, settled
from fair_dagster.flows.services import Services
from fair_dagster.flows.trust import acceptance
from fair_dagster.pipelines.filenames import ONNX_FILENAME, PREVIEW_FILE
from fair_dagster.storage.local import describe

Artifacts = Mapping[str, PublishedArtifact]


@dataclass(frozen=True)
class Gathered:
    """A family as it is: published items first, ZenML second.

    In this order a promotion in between is either seen in ZenML or makes ``apply`` fail with a conflict, never lost.
    ``without`` is the UUID of a version that is about to be deleted and counts as gone. ``keep_gone`` says that items
    whose ZenML version is gone stay, as they do in a backfill. ``damaged`` are items that cannot be read and are to be
    written anew, or removed where ZenML has no promoted version for them.
    """

    slug: str
    published: tuple[Item, ...]
    versions: tuple[VersionRecord, ...]
    without: str = ""
    keep_gone: bool = False
    damaged: tuple[DamagedItem, ...] = ()

    @property
    def promoted(self) -> tuple[VersionRecord, ...]:
        uids = frozenset(items_of(self.versions, self.published))
        return tuple(version for version in self.versions if was_promoted(version, uids))


def gather_family(services: Services, slug: str, without: str = "", *, over_damaged: bool = False) -> Gathered:
    """Read a family. A model that ZenML does not know has no versions; an unreachable ZenML raises.

    Args:
        over_damaged: gather damaged items as well, to be written anew.

    Raises:
        CatalogError: an item is damaged.
        ServiceError: ZenML did not answer. A failed read is not an empty one.
    """
    if over_damaged:
        scan = services.catalog.scan(items.LOCAL_MODELS, slug)
    else:
        scan = Scan(tuple(services.catalog.family(items.LOCAL_MODELS, slug)))
    try:
        versions = tuple(version for version in services.versions.list(slug) if version.uuid != without)
    except NotFoundError:
        versions = ()
    return Gathered(slug, scan.items, versions, without, damaged=scan.damaged)


def publish_artifacts(services: Services, gathered: Gathered) -> dict[str, dict[str, PublishedArtifact]]:
    """Copy what promoted versions made to where consumers find it, once.

    Returns:
        Artifacts by ZenML version UUID and asset key.
    """
    return {version.uuid: _publish(services, version, gathered) for version in gathered.promoted}


def _publish(services: Services, version: VersionRecord, gathered: Gathered) -> dict[str, PublishedArtifact]:
    """What was published is there to stay: only what is missing is asked of ZenML, which may have been cleaned up.

    The item goes on naming what is neither there nor to be had again: it tells what was lost.
    """
    named = named_artifacts(gathered.published, version)
    known = {key: artifact for key, artifact in named.items() if is_there(services, artifact)}
    problems = publication_problems(services, version, known)
    # A former version that has lost its files does not keep the others of its family from being archived or promoted.
    must = version.stage == "production" or not named
    problems += acceptance.version_problems(services, version, known) if must and not problems else []
    if problems and must:
        raise RefusedError(f"publication of {version.id!r}", problems)
    prefix, folder = prefix_of(version), run_folder(services, version.id, version.uuid)
    if CONFIG_ASSET not in known:
        fetch_training(services, version.id, version.uuid)
    weights = None if CHECKPOINT_ASSET in known else artifact_of(services, version, version.model_uri)
    model = None if MODEL_ASSET in known else artifact_of(services, version, version.onnx_uri)
    sources = {
        MODEL_ASSET: (model, ONNX_FILENAME),
        CHECKPOINT_ASSET: (weights, weights.name if weights else ""),
        CONFIG_ASSET: (folder / CONFIG_FILE, CONFIG_FILE),
        THUMBNAIL_ASSET: (folder / PREVIEW_FILE, PREVIEW_FILE),
    }
    artifacts = {key: settled(services, artifact, prefix) for key, artifact in known.items()}
    for key, (source, name) in sources.items():
        if key not in known and source is not None and source.is_file() and _is_what_was_named(source, named.get(key)):
            artifacts[key] = _published(services, source, f"{prefix}/{name}", is_named=key in named)
    if (history := version.training.loss_history) and LOSS_ASSET not in known:
        artifacts[LOSS_ASSET] = services.artifacts.write(loss_content(history), f"{prefix}/loss-history.json")
    return named | artifacts


def _published(services: Services, source: Path, target: str, *, is_named: bool) -> PublishedArtifact:
    """Copy ``source``, but over nothing that no item can vouch against: which of the two is damaged is not known."""
    there = None if is_named else services.artifacts.look(target)
    if there is not None and there.checksum != describe(source).checksum:
        raise RefusedError(
            f"publication of {services.artifacts.place(target)}",
            [f"it differs from {source} in ZenML, and no item says which is right: remove one"],
        )
    return services.artifacts.publish(source, target)


def _is_what_was_named(source: Path, named: PublishedArtifact | None) -> bool:
    """Whether ``source`` may be published: where it is not what the item names, it may be damaged itself."""
    if named is None:
        return True
    found = describe(source)
    return (found.size, found.checksum) == (named.size, named.checksum)


def apply_publication(services: Services, gathered: Gathered, artifacts: Mapping[str, Artifacts]) -> ChangeSet:
    """Write the family as it should be, mark the promoted versions in ZenML, remove what nothing names any more.

    Raises:
        ConflictError: another writer was faster; gather again.
        RefusedError: an item would not be valid, or a parent is gone.
    """

    def content(version: VersionRecord) -> Item:
        request = FinetuneRequest.of(version)
        if request is None:
            raise RefusedError(version.id, ["it holds no finetune request"])
        base_model, dataset = parents(services, request)
        return local_item(version, request, base_model, dataset, artifacts[version.uuid], knowledge=services.knowledge)

    kept = partial(current, knowledge=services.knowledge) if gathered.keep_gone else None
    family = local_family(gathered.slug, gathered.versions, gathered.published, content, kept)
    changes = damage.over_damaged(diff(gathered.published, desired_items(family)), gathered.damaged, delete=True)
    for change in changes.changes:
        if change.item is not None:
            services.require_valid(change.item)
    if changes:
        services.catalog.apply(changes)
    _mark(services, gathered, {release.uid: release.rank for release in family.releases})
    _remove_unpublished(services, gathered, frozenset(release.uid for release in family.releases))
    return changes


def recompute(
    services: Services, slug: str, without: str = "", *, keep_gone: bool = False, over_damaged: bool = False
) -> ChangeSet:
    """The whole road in one call.

    Args:
        keep_gone: as in ``Gathered``.
        over_damaged: as in ``gather_family``.
    """

    def once() -> ChangeSet:
        gathered = replace(gather_family(services, slug, without, over_damaged=over_damaged), keep_gone=keep_gone)
        return apply_publication(services, gathered, publish_artifacts(services, gathered))

    return services.retried(once)


def _mark(services: Services, gathered: Gathered, ranks: Mapping[str, int]) -> None:
    """Keep the order of promotion in ZenML too: ZenML has no history of stages, and a catalog can be lost."""
    for version in gathered.versions:
        rank = ranks.get(version.uuid)
        if rank is not None and version.metadata.get(PROMOTION_KEY) != rank:
            services.versions.log(version.uuid, {PROMOTION_KEY: rank})


def _remove_unpublished(services: Services, gathered: Gathered, kept: frozenset[str]) -> None:
    prefixes = []
    for item in gathered.published:
        uid = item["properties"].get(items.ZENML_UID)
        # Where somebody altered the UUID, the folder is that of the version whose item it is.
        if is_uuid(uid) and uid not in kept:
            prefixes.append(f"{items.LOCAL_MODELS}/{gathered.slug}/v{items.number_of(item)}-{uid[:8]}")
    # Somebody may have given an item of another family an asset or a link that leads into the folder. Where that cannot
    # be told, because an item is damaged, or the disk refuses, reconciliation finds the folder later.
    with contextlib.suppress(CatalogError, StorageError):
        remove_unused(services, prefixes)


def set_stage(services: Services, slug: str, number: int, stage: Stage) -> VersionRecord:
    """Change a version's stage in ZenML; the catalog follows by recomputing the family.

    Raises:
        NotFoundError: no such version.
        RefusedError: a promotion of what cannot be published; nothing has changed.
    """
    version = services.versions.get(slug, number)
    named = named_artifacts(services.catalog.family(items.LOCAL_MODELS, slug), version)
    known = {key: artifact for key, artifact in named.items() if is_there(services, artifact)}
    if stage == "production":
        problems = publication_problems(services, version, known) or acceptance.version_problems(
            services, version, known
        )
        if problems:
            raise RefusedError(f"promotion of {version.id!r}", problems)
    return services.versions.set_stage(slug, number, stage)


def undo_stage(services: Services, slug: str, number: int, before: Sequence[VersionRecord]) -> None:
    """Undo a stage change whose publication failed, so that ZenML and the catalog agree.

    A version that was in no stage ends as archived: ZenML holds one demoted version a model and cannot forget a stage.

    Args:
        before: the versions of the model before the change.

    Raises:
        ServiceError: ZenML refuses; the message says what has to be done.
    """
    kept: Sequence[Stage] = ("production", "staging")
    try:
        for stage in kept:
            for version in before:
                if version.stage == stage:
                    services.versions.set_stage(slug, version.number, stage)
        if not any(version.number == number and version.stage in kept for version in before):
            services.versions.set_stage(slug, number, "archived")
    except ServiceError as error:
        raise ServiceError(
            f"{version_id(slug, number)!r} could not be published, and its stage in ZenML could not be set back "
            f"({error}): set the stage again when ZenML works"
        ) from error
    # What failed may have come after the write: then the catalog has to follow back. When it cannot be written, it
    # never was, and the error that led here is the one to be told.
    with contextlib.suppress(FairError):
        recompute(services, slug)
    for version in before:
        if version.number == number:
            _remove_orphans(services, version)


def _remove_orphans(services: Services, version: VersionRecord) -> None:
    """Remove artifacts that were copied for an item which then was not written."""
    with contextlib.suppress(FairError, OSError):
        published = services.catalog.family(items.LOCAL_MODELS, version.name)
        if not items_of([version], published):
            services.artifacts.remove(prefix_of(version))

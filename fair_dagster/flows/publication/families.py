"""Local models: promoted versions as items. Three steps, so that an operator sees which one failed.

``gather`` reads the catalog and ZenML, ``publish_artifacts`` copies, ``apply_publication`` writes the catalog. Promote,
archive and delete change ZenML and then take this same road.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items
from fair_dagster.domain.errors import CatalogError, FairError, NotFoundError, RefusedError, ServiceError, StorageError
from fair_dagster.domain.items.damage import DamagedItem, Scan
from fair_dagster.domain.items.migrations import current
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.domain.publication.desired import items_of, local_family, was_promoted
from fair_dagster.domain.publication.drift import is_uuid
from fair_dagster.domain.publication.promoted_items import local_item
from fair_dagster.domain.requests import PROMOTION_KEY, FinetuneRequest
from fair_dagster.domain.slugs import version_id
from fair_dagster.domain.versions import Stage, VersionRecord
from fair_dagster.flows.items import parents
from fair_dagster.flows.publication import artifacts, road
from fair_dagster.flows.publication.artifacts import Artifacts
from fair_dagster.flows.publication.folders import folder_of, remove_unused
from fair_dagster.flows.publication.road import Plan
from fair_dagster.flows.services import Services
from fair_dagster.storage.store import ArtifactStore

if TYPE_CHECKING:
    from fair_dagster.pipelines.zenml.model_versions import ModelVersions


@dataclass(frozen=True)
class Gathered:
    """A family as it is: published items first, ZenML second.

    In this order a promotion in between is either seen in ZenML or makes the write fail with a conflict, never lost.

    Attributes:
        without: UUID of a version that is about to be deleted and counts as gone.
        keep_gone: items whose ZenML version is gone stay, as they do in a backfill.
        damaged: items that cannot be read and are to be written anew, or removed where ZenML has no promoted version
            for them.
        artifacts: what ``publish_artifacts`` published, by ZenML UUID.
    """

    slug: str
    published: tuple[Item, ...]
    versions: tuple[VersionRecord, ...]
    without: str = ""
    keep_gone: bool = False
    damaged: tuple[DamagedItem, ...] = ()
    artifacts: Mapping[str, Artifacts] = field(default_factory=dict)

    @property
    def promoted(self) -> tuple[VersionRecord, ...]:
        uids = frozenset(items_of(self.versions, self.published))
        return tuple(version for version in self.versions if was_promoted(version, uids))


def gather(
    services: Services, slug: str, without: str = "", *, keep_gone: bool = False, over_damaged: bool = False
) -> Gathered:
    """Read a family. A model that ZenML does not know has no versions; an unreachable ZenML raises.

    Args:
        without, keep_gone: as in ``Gathered``.
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
    return Gathered(slug, scan.items, versions, without, keep_gone, scan.damaged)


def publish_artifacts(services: Services, gathered: Gathered) -> Gathered:
    """Copy what promoted versions made to where consumers find it, once."""
    published = {one.uuid: artifacts.publish(services, one, gathered.published) for one in gathered.promoted}
    return replace(gathered, artifacts=published)


def apply_publication(services: Services, gathered: Gathered) -> ChangeSet:
    """Write the family as it should be, mark the promoted versions in ZenML, remove what nothing names any more.

    Raises:
        ConflictError: another writer was faster; gather again.
        RefusedError: an item would not be valid, or a parent is gone.
    """

    def content(version: VersionRecord) -> Item:
        request = FinetuneRequest.of(version)
        if request is None:
            raise RefusedError(version.id, ["it holds no finetune request"])
        base_model, dataset = parents(services.catalog, request)
        found = gathered.artifacts[version.uuid]
        return local_item(version, request, base_model, dataset, found, knowledge=services.knowledge)

    kept = partial(current, knowledge=services.knowledge) if gathered.keep_gone else None
    family = local_family(gathered.slug, gathered.versions, gathered.published, content, kept)
    plan = Plan(family, gathered.published, gathered.damaged, removes_damaged=True)
    changes = road.write(services.catalog, plan.changes(), services.validator)
    ranks = {release.uid: release.rank for release in family.releases}
    _mark(services.versions, gathered, ranks)
    _remove_unpublished(services.catalog, services.artifacts, gathered, frozenset(ranks))
    return changes


def recompute(
    services: Services, slug: str, without: str = "", *, keep_gone: bool = False, over_damaged: bool = False
) -> ChangeSet:
    """The whole road in one call; arguments as in ``gather``."""

    def once() -> ChangeSet:
        gathered = gather(services, slug, without, keep_gone=keep_gone, over_damaged=over_damaged)
        return apply_publication(services, publish_artifacts(services, gathered))

    return road.retry(once)


def _mark(versions: "ModelVersions", gathered: Gathered, ranks: Mapping[str, int]) -> None:
    """Keep the order of promotion in ZenML too: ZenML has no history of stages, and a catalog can be lost."""
    for version in gathered.versions:
        rank = ranks.get(version.uuid)
        if rank is not None and version.metadata.get(PROMOTION_KEY) != rank:
            versions.log(version.uuid, {PROMOTION_KEY: rank})


def _remove_unpublished(
    catalog: CatalogStore, artifacts: ArtifactStore, gathered: Gathered, kept: frozenset[str]
) -> None:
    folders = []
    for item in gathered.published:
        uid = item["properties"].get(items.ZENML_UID)
        # Where somebody altered the UUID, the folder is that of the version whose item it is.
        if is_uuid(uid) and uid not in kept:
            folders.append(folder_of(items.LOCAL_MODELS, gathered.slug, items.number_of(item), uid))
    # Somebody may have given an item of another family an asset or a link that leads into the folder. Where that cannot
    # be told, because an item is damaged, or the disk refuses, reconciliation finds the folder later.
    with contextlib.suppress(CatalogError, StorageError):
        remove_unused(catalog, artifacts, folders)


def set_stage(services: Services, slug: str, number: int, stage: Stage) -> VersionRecord:
    """Change a version's stage in ZenML; the catalog follows by recomputing the family.

    Raises:
        NotFoundError: no such version.
        RefusedError: a promotion of what cannot be published; nothing has changed.
    """
    version = services.versions.get(slug, number)
    named = artifacts.named_artifacts(services.catalog.family(items.LOCAL_MODELS, slug), version)
    known = artifacts.present_artifacts(services.artifacts, named)
    if stage == "production":
        artifacts.require_publishable(services, "promotion", version, known)
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
    # never was, and the error that led here is the one to report.
    with contextlib.suppress(FairError):
        recompute(services, slug)
    for version in before:
        if version.number == number:
            _remove_orphans(services.catalog, services.artifacts, version)


def _remove_orphans(catalog: CatalogStore, store: ArtifactStore, version: VersionRecord) -> None:
    """Remove artifacts that were copied for an item which then was not written."""
    with contextlib.suppress(FairError, OSError):
        published = catalog.family(items.LOCAL_MODELS, version.name)
        if not items_of([version], published):
            store.remove(artifacts.folder_of_version(version))

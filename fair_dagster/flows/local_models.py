"""Local models: promoted versions as items. Three steps, so that an operator sees which one failed.

gather reads the catalog and ZenML, publish copies artifacts, apply writes the catalog. Promote, archive and delete
change ZenML and then take this same road.
"""

import contextlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import orjson

from fair_dagster.domain import items
from fair_dagster.domain.artifacts import PublishedArtifact
from fair_dagster.domain.changes import ChangeSet, Item
from fair_dagster.domain.drift import diff
from fair_dagster.domain.errors import CatalogError, FairError, NotFoundError, RefusedError, ServiceError
from fair_dagster.domain.local_items import (
    CHECKPOINT_ASSET,
    CONFIG_ASSET,
    LOSS_ASSET,
    MODEL_ASSET,
    PUBLISHED_ASSETS,
    THUMBNAIL_ASSET,
    local_item,
)
from fair_dagster.domain.migrations import current
from fair_dagster.domain.publication import desired_items, local_family, was_promoted
from fair_dagster.domain.requests import PROMOTION_KEY, FinetuneRequest
from fair_dagster.domain.slugs import version_id
from fair_dagster.domain.versions import Stage, VersionRecord
from fair_dagster.flows.allocations import CONFIG_FILE, run_folder
from fair_dagster.flows.artifact_checks import remove_unused
from fair_dagster.flows.finetunes import parents
from fair_dagster.flows.services import Services
from fair_dagster.pipelines.artifacts import artifact_file
from fair_dagster.pipelines.filenames import ONNX_FILENAME, PREVIEW_FILE

Artifacts = Mapping[str, PublishedArtifact]


@dataclass(frozen=True)
class Gathered:
    """A family as it is: published items first, ZenML second.

    In this order a promotion in between is either seen in ZenML or makes ``apply`` fail with a conflict, never lost.
    ``without`` is the UUID of a version that is about to be deleted and counts as gone. ``keep_gone`` says that items
    whose ZenML version is gone stay, as they do in a backfill.
    """

    slug: str
    published: tuple[Item, ...]
    versions: tuple[VersionRecord, ...]
    without: str = ""
    keep_gone: bool = False

    @property
    def promoted(self) -> tuple[VersionRecord, ...]:
        uids = frozenset(str(item["properties"].get(items.ZENML_UID)) for item in self.published)
        return tuple(version for version in self.versions if was_promoted(version, uids))


def gather_family(services: Services, slug: str, without: str = "") -> Gathered:
    """Read a family. A model that ZenML does not know has no versions; an unreachable ZenML raises.

    Raises:
        ServiceError: ZenML did not answer. A failed read is not an empty one.
    """
    published = tuple(services.catalog.family(items.LOCAL_MODELS, slug))
    try:
        versions = tuple(version for version in services.versions.list(slug) if version.uuid != without)
    except NotFoundError:
        versions = ()
    return Gathered(slug, published, versions, without)


def publish_artifacts(services: Services, gathered: Gathered) -> dict[str, dict[str, PublishedArtifact]]:
    """Copy what promoted versions made to where consumers find it, once.

    Returns:
        Artifacts by ZenML version UUID and asset key.
    """
    return {version.uuid: _publish(services, version, gathered) for version in gathered.promoted}


def _publish(services: Services, version: VersionRecord, gathered: Gathered) -> dict[str, PublishedArtifact]:
    """What was published is there to stay: only what is missing is asked of ZenML, which may have been cleaned up."""
    named = named_artifacts(gathered.published, version)
    known = {key: artifact for key, artifact in named.items() if _is_there(artifact)}
    if problems := publication_problems(services, version, known):
        raise RefusedError(f"publication of {version.id!r}", problems)
    prefix, folder = prefix_of(version), run_folder(services, version.id, version.uuid)
    weights = None if CHECKPOINT_ASSET in known else _artifact(services, version, version.model_uri)
    model = None if MODEL_ASSET in known else _artifact(services, version, version.onnx_uri)
    sources = {
        MODEL_ASSET: (model, ONNX_FILENAME),
        CHECKPOINT_ASSET: (weights, weights.name if weights else ""),
        CONFIG_ASSET: (folder / CONFIG_FILE, CONFIG_FILE),
        THUMBNAIL_ASSET: (folder / PREVIEW_FILE, PREVIEW_FILE),
    }
    artifacts = dict(known)
    for key, (source, name) in sources.items():
        if key not in known and source is not None and source.is_file():
            if key in named:
                # A copy that has changed its size is damaged, and would be kept as what was published.
                services.artifacts.remove(f"{prefix}/{name}")
            artifacts[key] = services.artifacts.publish(source, f"{prefix}/{name}")
    if (history := version.training.loss_history) and LOSS_ASSET not in known:
        artifacts[LOSS_ASSET] = services.artifacts.write(_loss_content(history), f"{prefix}/loss-history.json")
    return artifacts


def sources_of(services: Services, version: VersionRecord) -> dict[str, Path | bytes]:
    """What a version's artifacts can be copied from again, by asset key; what is gone is left out."""
    folder = run_folder(services, version.id, version.uuid)
    files = {
        MODEL_ASSET: _artifact(services, version, version.onnx_uri),
        CHECKPOINT_ASSET: _artifact(services, version, version.model_uri),
        CONFIG_ASSET: folder / CONFIG_FILE,
        THUMBNAIL_ASSET: folder / PREVIEW_FILE,
    }
    found: dict[str, Path | bytes] = {key: path for key, path in files.items() if path is not None and path.is_file()}
    if history := version.training.loss_history:
        found[LOSS_ASSET] = _loss_content(history)
    return found


def _loss_content(history: Mapping[str, Sequence[float]]) -> bytes:
    return orjson.dumps({name: list(values) for name, values in history.items()})


def prefix_of(version: VersionRecord) -> str:
    """Where a version's artifacts stand; the UUID tells apart versions that ZenML gave the same number."""
    return f"{items.LOCAL_MODELS}/{version.name}/v{version.number}-{version.uuid[:8]}"


def named_artifacts(published: Sequence[Item], version: VersionRecord) -> dict[str, PublishedArtifact]:
    """The artifacts of its own that a version's item names."""
    for item in published:
        if item["properties"].get(items.ZENML_UID) == version.uuid:
            return {
                key: PublishedArtifact(str(asset["href"]), asset["file:size"], asset["file:checksum"])
                for key, asset in item["assets"].items()
                if key in PUBLISHED_ASSETS and "file:size" in asset and "file:checksum" in asset
            }
    return {}


def _is_there(artifact: PublishedArtifact) -> bool:
    path = Path(artifact.href)
    return path.is_file() and path.stat().st_size == artifact.size


def publication_problems(services: Services, version: VersionRecord, known: Container[str] = ()) -> list[str]:
    """Every reason why a version cannot be published; checked before a promotion changes anything.

    ``known`` names the assets that have been published before.
    """
    problems = []
    if FinetuneRequest.of(version) is None:
        problems.append("it was not made by this system: its base model and dataset are not known")
    if MODEL_ASSET not in known and _artifact(services, version, version.onnx_uri) is None:
        problems.append("ZenML holds no ONNX model of it; either its training did not finish, or it was cleaned up")
    if CHECKPOINT_ASSET not in known and _artifact(services, version, version.model_uri) is None:
        problems.append("ZenML holds no weights of it; either its training did not finish, or they were cleaned up")
    return problems


def _artifact(services: Services, version: VersionRecord, uri: str | None) -> Path | None:
    """The file of an artifact on this machine; a copy where ZenML's store is a remote one. None when it is gone."""
    if uri is None:
        return None
    try:
        return artifact_file(services.settings, uri, services.settings.cache_path / "zenml" / version.uuid)
    except NotFoundError:
        return None


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
    changes = diff(gathered.published, desired_items(family))
    for change in changes.changes:
        if change.item is not None:
            services.require_valid(change.item)
    if changes:
        services.catalog.apply(changes)
    _mark(services, gathered, {release.uid: release.rank for release in family.releases})
    _remove_unpublished(services, gathered, frozenset(release.uid for release in family.releases))
    return changes


def recompute(services: Services, slug: str, without: str = "", *, keep_gone: bool = False) -> ChangeSet:
    """The whole road in one call.

    Args:
        keep_gone: as in ``Gathered``.
    """

    def once() -> ChangeSet:
        gathered = replace(gather_family(services, slug, without), keep_gone=keep_gone)
        return apply_publication(services, gathered, publish_artifacts(services, gathered))

    return services.retried(once)


def _mark(services: Services, gathered: Gathered, ranks: Mapping[str, int]) -> None:
    """Keep the order of promotion in ZenML too: ZenML has no history of stages, and a catalog can be lost."""
    for version in gathered.versions:
        rank = ranks.get(version.uuid)
        if rank is not None and version.metadata.get(PROMOTION_KEY) != rank:
            services.versions.log(version.uuid, {PROMOTION_KEY: rank})


def _remove_unpublished(services: Services, gathered: Gathered, kept: frozenset[str]) -> None:
    for item in gathered.published:
        uid = str(item["properties"].get(items.ZENML_UID))
        if uid not in kept:
            number = items.number_of(item)
            # Somebody may have given an item of another family an asset or a link that leads into the folder.
            with contextlib.suppress(CatalogError):
                remove_unused(services, f"{items.LOCAL_MODELS}/{gathered.slug}/v{number}-{uid[:8]}")


def set_stage(services: Services, slug: str, number: int, stage: Stage) -> VersionRecord:
    """Change a version's stage in ZenML; the catalog follows by recomputing the family.

    Raises:
        NotFoundError: no such version.
        RefusedError: a promotion of what cannot be published; nothing has changed.
    """
    version = services.versions.get(slug, number)
    named = named_artifacts(services.catalog.family(items.LOCAL_MODELS, slug), version)
    known = [key for key, artifact in named.items() if _is_there(artifact)]
    if stage == "production" and (problems := publication_problems(services, version, known)):
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
        if all(item["properties"].get(items.ZENML_UID) != version.uuid for item in published):
            services.artifacts.remove(prefix_of(version))

"""Copying published artifacts again: from ZenML, or from a folder that holds what was released.

A source counts when it is what the item says, or what is published and the item alone is wrong. Any other source may
be damaged itself: nothing is copied from it, and both are left as they are.
"""

import copy
from collections.abc import Sequence
from pathlib import Path

from fair_dagster.domain import items
from fair_dagster.domain.errors import FairError, NotFoundError
from fair_dagster.domain.items.artifacts import PublishedArtifact
from fair_dagster.domain.items.digests import digest_of
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.domain.publication.desired import items_of
from fair_dagster.domain.publication.findings import Done, Finding
from fair_dagster.domain.registries.assets import oci_href
from fair_dagster.domain.registries.models import came_as_artifact
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.flows import artifact_files as oci_files
from fair_dagster.flows.base_models import registration
from fair_dagster.flows.publication import artifacts
from fair_dagster.flows.publication.folders import folder_of_item
from fair_dagster.flows.reconciliation.artifacts import Named, artifact_finding, named_by
from fair_dagster.flows.services import Services
from fair_dagster.flows.training_files import fetch_training
from fair_dagster.oci.references import Reference
from fair_dagster.pipelines.contract import folder_digest, shipped_files
from fair_dagster.settings import Settings
from fair_dagster.storage.local import describe, describe_content
from fair_dagster.storage.store import ArtifactStore


def base_model_artifacts(services: Services, slug: str) -> list[Done]:
    """Copy files of releases again from folders that hold them: under ``models/``, or in an older checkout."""
    done = []
    for item in services.catalog.family(items.BASE_MODELS, slug):
        looked = ((named, artifact_finding(services.artifacts, named)) for named in named_by(services.artifacts, item))
        broken = [(named, finding) for named, finding in looked if finding is not None]
        if not broken:
            continue
        try:
            if came_as_artifact(item):
                done += [_pulled_again(services, named, finding) for named, finding in broken]
                continue
            folder = _released_folder(services.settings, slug, str(item["properties"].get(items.UID)))
            done += [_copied_from(services.artifacts, folder, named, finding) for named, finding in broken]
        except FairError as error:
            done.append(_failed(item, str(error)))
    return done


def _released_folder(settings: Settings, slug: str, uid: str) -> Path:
    """A folder whose content is the release ``uid``.

    Raises:
        NotFoundError: there is none.
    """
    places = [settings.models, *sorted((settings.repository_path / "commits").glob("*/models"))]
    for models in places:
        for folder in registration.folders(models):
            if registration.slug_of_folder(folder) == slug and folder_digest(folder) == uid:
                return folder
    if settings.follows_branch:
        problem = f"no checkout in {settings.repository_path} holds it; put the file back from a copy"
    else:
        problem = f"{settings.models} holds another version or none; put the released one there, or the file"
    raise NotFoundError(f"the release of {slug!r} with {items.UID} {uid}", [problem])


def _copied_from(artifacts: ArtifactStore, folder: Path, named: Named, finding: Finding) -> Done:
    key = _key_under(artifacts, folder_of_item(named.item), named)
    if key is None:
        return _failed(named.item, f"{finding.detail}. It lies outside the folder of this release: correct the href")
    name = "/".join(key.split("/")[3:])
    is_folder = name == "folder"
    source, files = (folder, shipped_files(folder)) if is_folder else (folder / name, None)
    if not _is(describe(source, files), named.artifact):
        return _failed(named.item, f"{finding.detail}. {source} differs from what the item says, too; both are kept")
    artifacts.restore(source, key, files)
    return Done(items.BASE_MODELS, str(named.item["id"]), "copied", finding.detail)


def _pulled_again(services: Services, named: Named, finding: Finding) -> Done:
    """Fetch a file of a release that came as an artifact from its registry, which holds what was released."""
    key, href = _key_under(services.artifacts, folder_of_item(named.item), named), oci_href(named.item)
    if key is None or href is None:
        return _failed(named.item, f"{finding.detail}. Its item does not say any more where it came from")
    artifact, checksum = Reference.parse(href), named.artifact.checksum
    title = oci_files.title_of(services.registries, artifact, checksum)
    source = oci_files.local_file(services, oci_files.file_href(artifact, title), checksum)
    services.artifacts.restore(source, key)
    return Done(items.BASE_MODELS, str(named.item["id"]), "copied", finding.detail)


def _key_under(artifacts: ArtifactStore, prefix: str, named: Named) -> str | None:
    """The key of an artifact in the folder of its own release; None for one that lies elsewhere."""
    key = artifacts.key_of(named.artifact.href)
    return key if key is not None and key.startswith(f"{prefix}/") else None


def local_artifacts_again(services: Services, version: VersionRecord, findings: Sequence[Finding]) -> list[Done]:
    """Copy broken artifacts of a version again from ZenML: what is there stays until its source is known to be good."""
    key = ItemKey(items.LOCAL_MODELS, version.id)
    item = services.catalog.get(key) if findings else None
    if item is None or not items_of([version], [item]):
        return []
    # The configuration and the picture may lie where another machine has trained it, or beside the artifacts.
    fetch_training(services.artifacts, services.settings, version.id, version.uuid)
    sources = artifacts.find_sources(services.settings, version)
    details = {finding.target: finding.detail for finding in findings}
    done, misdescribed = [], []
    for named in named_by(services.artifacts, item):
        if (detail := details.get(named.artifact.href)) is None:
            continue
        try:
            if not _restored(services.artifacts, version, named, sources.get(named.asset)):
                misdescribed.append(named.asset)
            done.append(Done(items.LOCAL_MODELS, version.id, "copied", detail))
        except FairError as error:
            done.append(_failed(item, str(error)))
    if misdescribed:
        services.catalog.apply(_without_checksums(key, item, misdescribed))
    return done


def _restored(store: ArtifactStore, version: VersionRecord, named: Named, source: Path | bytes | None) -> bool:
    """Copy an artifact again; False when the item is wrong about it, and has to describe it anew.

    Raises:
        NotFoundError: there is no source, or none that can be trusted.
        StorageError: it cannot be read or written.
    """
    subject = f"a source of {named.asset!r} of {version.id!r}"
    if source is None:
        raise NotFoundError(subject, ["ZenML holds none any more; put the file back from a copy of your own"])
    found = describe(source) if isinstance(source, Path) else describe_content(source)
    own = _key_under(store, artifacts.folder_of_version(version), named)
    if not _is(found, named.artifact):
        there = store.look(own or artifacts.key_of(version, named.asset, source))
        if there is None or not there.is_as(found):
            origin = source if isinstance(source, Path) else "what ZenML recorded"
            problem = f"{origin} differs from what the item says, too; both are kept, put the file back from a copy"
            raise NotFoundError(subject, [problem])
        return False  # What is published is what ZenML holds: the item alone is wrong.
    if own is None:
        return False  # The item points elsewhere, at what is not ours: it is published anew at its own place.
    if isinstance(source, Path):
        store.restore(source, own)
    else:
        store.write(source, own)
    return True


def _is(found: PublishedArtifact, told: PublishedArtifact) -> bool:
    return (found.size, found.checksum) == (told.size, told.checksum)


def _failed(item: Item, reason: str) -> Done:
    return Done(str(item["collection"]), str(item["id"]), "not repaired", reason, failed=True)


def _without_checksums(key: ItemKey, item: Item, names: Sequence[str]) -> ChangeSet:
    """The item without what it wrongly says of artifacts, so that the recompute describes them anew."""
    after = copy.deepcopy(item)
    for name in names:
        after["assets"][name].pop("file:checksum", None)
    return ChangeSet((Change("update", key, "artifacts are described anew", after),), {key: digest_of(item)})

"""Folders of artifacts that no item names: which a repair may remove, and which may be the only copy of something."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items
from fair_dagster.domain.errors import StorageError
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.desired import slug_of
from fair_dagster.domain.publication.findings import Done, Finding
from fair_dagster.domain.slugs import split_version_id
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.flows.parcels import PREDICTIONS
from fair_dagster.flows.publication.folders import folder_of, remove_unused, used_folders
from fair_dagster.flows.publication.released import RELEASE_FILE
from fair_dagster.flows.training_files import TRAININGS
from fair_dagster.storage.store import ArtifactStore

UNUSED_AFTER = 3600.0
"""Seconds that a folder without an item is left alone: a writer copies artifacts before it writes the item."""

UNFINISHED_AFTER = 86_400.0
"""Seconds that something unfinished is left alone: what is large takes its time on a slow line."""

_RELEASE = re.compile(r"v([0-9]+)-([0-9a-f]{8})")
_LOST = frozenset({"missing", "damaged", "unpublishable"})
_ADVICE = "register it again, or remove the folder by hand when nobody misses it"


def unused_findings(
    artifacts: ArtifactStore,
    scanned: Sequence[Item],
    collections: Iterable[str],
    versions: Mapping[str, Sequence[VersionRecord]] | None,
) -> list[Finding]:
    """Folders of releases that no item names, left by a process that was killed. Young ones may be in the making.

    Args:
        versions: what ZenML has, by slug; what it has is in use, published or not. None where it could not be read:
            then nothing is known of the folders of local models.
    """
    used = used_folders(artifacts, scanned)
    for slug, known in (versions or {}).items():
        used |= {folder_of(items.LOCAL_MODELS, slug, one.number, one.uuid) for one in known}
    numbers: dict[tuple[str, str], set[int]] = defaultdict(set)
    for item in scanned:
        numbers[str(item["collection"]), slug_of(item)].add(items.number_of(item))
    findings = []
    for collection in collections:
        if collection == items.LOCAL_MODELS and versions is None:
            continue
        try:
            families = artifacts.prefixes(collection)
        except StorageError as error:
            findings.append(Finding(collection, "", "not checked", str(error)))
            continue
        for family in families:
            slug = family.removeprefix(f"{collection}/")
            try:
                is_known = versions is not None and slug in versions
                findings += _of_family(artifacts, collection, slug, used, numbers[collection, slug], is_known=is_known)
            except StorageError as error:
                findings.append(Finding(collection, slug, "not checked", str(error), "", slug))
    return findings


def unfinished_findings(artifacts: ArtifactStore, collections: Iterable[str]) -> list[Finding]:
    """What processes that were killed have left of writing: of no use, and in a bucket paid for."""
    now, wanted = datetime.now(UTC), set(collections)
    try:
        found = artifacts.unfinished()
    except StorageError as error:
        return [Finding(one, "", "not checked", str(error)) for one in sorted(wanted)[:1]]
    findings = []
    for one in found:
        collection, hours = one.key.partition("/")[0], (now - one.begun).total_seconds() / 3600
        if collection in wanted and hours * 3600 > UNFINISHED_AFTER:
            detail = f"{artifacts.place(one.key)} was begun {hours:.0f} hours ago and never finished"
            findings.append(Finding(collection, "", "unfinished artifact", detail, "throw it away", target=one.token))
    return findings


def parcel_findings(
    artifacts: ArtifactStore, collections: Iterable[str], versions: Mapping[str, Sequence[VersionRecord]] | None
) -> list[Finding]:
    """Files on their way between machines that nobody waits for: of users' images, and of versions that are gone.

    Args:
        versions: what ZenML has, by slug. None where it could not be read: then no training's files are judged.
    """
    if items.LOCAL_MODELS not in collections:
        return []
    kept = {f"{TRAININGS}/{one.id}-{one.uuid[:8]}" for known in (versions or {}).values() for one in known}
    findings = []
    try:
        parcels = artifacts.prefixes(PREDICTIONS)
        parcels += artifacts.prefixes(TRAININGS) if versions is not None else []
        for parcel in parcels:
            age = artifacts.age(parcel) if parcel not in kept else None
            if age is not None and age > UNFINISHED_AFTER:
                detail = f"{artifacts.place(parcel)} was left {age / 3600:.0f} hours ago, and nobody waits for it"
                findings.append(
                    Finding(items.LOCAL_MODELS, "", "unfinished artifact", detail, "throw it away", target=parcel)
                )
    except StorageError as error:
        findings.append(Finding(items.LOCAL_MODELS, "", "not checked", str(error)))
    return findings


def discard(artifacts: ArtifactStore, finding: Finding) -> list[Done]:
    """Throw away one unfinished artifact.

    Raises:
        StorageError: the store refuses.
    """
    if finding.target.startswith((f"{PREDICTIONS}/", f"{TRAININGS}/")):
        artifacts.remove(finding.target)
    else:
        artifacts.discard(finding.target)
    return [Done(finding.collection, "", "removed", finding.detail)]


def _of_family(
    artifacts: ArtifactStore, collection: str, slug: str, used: set[str], numbers: set[int], *, is_known: bool
) -> list[Finding]:
    findings = []
    for prefix in artifacts.prefixes(f"{collection}/{slug}"):
        release = _RELEASE.fullmatch(prefix.rpartition("/")[2])
        if release is None or prefix in used:
            continue
        age = artifacts.age(prefix)
        if age is None or age <= UNUSED_AFTER:
            continue
        if collection == items.LOCAL_MODELS:
            # With neither an item nor a version of the model, catalog and ZenML may both have been lost.
            kept = "" if numbers or is_known else f". Neither ZenML nor the catalog knows its model: {_ADVICE}"
        else:
            kept = _kept_because(artifacts, prefix, is_taken=int(release[1]) in numbers)
        detail = f"{artifacts.place(prefix)} belongs to no item, for {age / 3600:.0f} hours{kept}"
        repair = "" if kept else "remove it"
        findings.append(Finding(collection, slug, "unused artifact", detail, repair, target=prefix))
    return findings


def _kept_because(artifacts: ArtifactStore, prefix: str, *, is_taken: bool) -> str:
    """Why the folder of a base model or dataset stays: behind these stands no ZenML to restore them from."""
    if artifacts.size(f"{prefix}/{RELEASE_FILE}") is not None:
        return f". It was released, and its item is gone: {_ADVICE}"
    if not is_taken:
        return f". It may be a release whose item is gone: {_ADVICE}"
    return ""


def remove(
    catalog: CatalogStore, artifacts: ArtifactStore, finding: Finding, findings: Sequence[Finding], done: Sequence[Done]
) -> list[Done]:
    """Remove one unused folder, unless something of its family is still lost: the folder may be all that is left.

    Args:
        findings: the whole report.
        done: what the repair has done about it so far.

    Raises:
        CatalogError, StorageError: an item cannot be read, or the folder cannot be removed.
    """
    if not finding.repair:
        return []
    if open_problem := unsettled(catalog, finding.collection, finding.item, findings, done):
        reason = f"{artifacts.place(finding.target)} is kept: {open_problem}"
        return [Done(finding.collection, finding.item, "not repaired", reason, failed=True)]
    if remove_unused(catalog, artifacts, [finding.target]):
        return [Done(finding.collection, finding.item, "removed", finding.detail)]
    return []


def unsettled(
    catalog: CatalogStore, collection: str, slug: str, findings: Sequence[Finding], done: Sequence[Done]
) -> str:
    """Why not everything about a family is known and repaired; empty when it is."""
    own = [one for one in findings if one.collection == collection and one.family in {"", slug}]
    for finding in own:
        if finding.kind == "not checked":
            return finding.detail
    for one in done:
        if one.failed and one.collection == collection and slug in {one.item, split_version_id(one.item)[0]}:
            return one.reason
    present = catalog.ids(collection)
    for finding in own:
        if finding.kind in _LOST and finding.item not in present:
            return f"{finding.item} is lost: {finding.detail}"
    return ""


def named_nowhere_else(
    catalog: CatalogStore, collection: str, findings: Sequence[Finding], done: Sequence[Done] = ()
) -> str:
    """Why the document of ``collection`` must stay: it alone still names an item that is lost. Empty where it need not.

    Args:
        findings: what the drift report says of the collection.
        done: what a repair has done about it.
    """
    for item_id in sorted({*catalog.listed(collection)} - {*catalog.ids(collection)}):
        if reason := unsettled(catalog, collection, split_version_id(item_id)[0], findings, done):
            return f"collection.json is kept as it is, because it still names {item_id}: {reason}"
    return ""

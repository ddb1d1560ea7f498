"""Repairing what the drift report found: families are recomputed, documents written anew, artifacts copied again.

Each thing done is returned with its reason. What cannot be repaired stays a finding. Killed in the middle, it is run
again; run twice, it changes nothing the second time. Dagster's partitions are left to the caller.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fair_dagster.domain import items
from fair_dagster.domain.changes import Change, ChangeSet, Item, ItemKey
from fair_dagster.domain.digests import digest_of
from fair_dagster.domain.errors import FairError, NotFoundError
from fair_dagster.domain.reconciliation import Finding
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.flows import base_models, local_artifacts, local_models
from fair_dagster.flows.artifact_checks import Named, artifact_finding, named_by, remove_unused
from fair_dagster.flows.reconciliation import Progress, no_progress
from fair_dagster.flows.released import restored
from fair_dagster.flows.services import Services
from fair_dagster.pipelines.contract import folder_digest, shipped_files

_ORDER = (items.BASE_MODELS, items.DATASETS, items.LOCAL_MODELS)
"""Parents first: what is made of them is computed from them."""
_ARTIFACTS = frozenset({"missing artifact", "changed artifact"})
_UNREAD = frozenset({"damaged", "missing"})
"""Whose artifacts nobody could compare: they are looked at once the item is back."""
_HIDING = frozenset({"unpublishable", "not checked"})
"""What keeps a family from being judged. It may be over once the parents are repaired."""


@dataclass(frozen=True)
class Done:
    """One thing that a repair did or could not do, with its reason."""

    collection: str
    item: str
    action: str
    reason: str
    failed: bool = False

    def __str__(self) -> str:
        return f"{self.action} {self.collection}/{self.item}: {self.reason}"


def repair(services: Services, findings: Sequence[Finding], progress: Progress = no_progress) -> list[Done]:
    """Repair what ``findings`` name. A family that cannot be repaired does not stop the others."""
    done: list[Done] = []
    blind = {finding.collection for finding in findings if finding.kind == "not checked" and not finding.family}
    wanted = [finding for finding in findings if finding.family and (finding.repair or finding.kind in _HIDING)]
    families = sorted({(_ORDER.index(finding.collection), finding.family) for finding in wanted})
    for position, (order, slug) in enumerate(families):
        progress(position, len(families), "repair")
        collection = _ORDER[order]
        own = [finding for finding in findings if (finding.collection, finding.family) == (collection, slug)]
        is_due = any(finding.repair for finding in own) or _did_parents(done, collection)
        if collection not in blind and is_due:
            done += _attempted(collection, slug, lambda c=collection, s=slug, o=own: _family(services, c, s, o))  # type: ignore[misc]
    for finding in findings:
        if finding.kind == "unused artifact":
            done += _attempted(finding.collection, finding.item, lambda f=finding: _unused(services, f))  # type: ignore[misc]
    for collection in _ORDER:
        problems = services.catalog.document_problems(collection)
        if problems:
            services.catalog.refresh(collection)
            done += [Done(collection, "", "document", problem) for problem in problems]
    return done


def _did_parents(done: Sequence[Done], collection: str) -> bool:
    """Whether something was done that a family, which could not be judged before, may have been waiting for."""
    return collection == items.LOCAL_MODELS and any(not one.failed for one in done)


def _attempted(collection: str, slug: str, act: Callable[[], list[Done]]) -> list[Done]:
    try:
        return act()
    except FairError as error:
        return [Done(collection, slug, "not repaired", str(error), failed=True)]


def _family(services: Services, collection: str, slug: str, findings: Sequence[Finding]) -> list[Done]:
    if collection == items.LOCAL_MODELS:
        return _local_family(services, slug, findings)
    done: list[Done] = []

    def decide() -> ChangeSet:
        scan = services.catalog.scan(collection, slug)
        present = {*(item["id"] for item in scan.items), *(one.key.id for one in scan.damaged)}
        missing = [f.item for f in findings if f.kind == "missing" and f.item not in present]
        changes = restored(services, collection, slug, scan.items, damaged=scan.damaged, missing=missing)
        for change in changes.changes:
            if change.item is not None:
                services.require_valid(change.item)
        return changes

    done += _told(services.apply(decide))
    if collection == items.BASE_MODELS and any(finding.kind in _ARTIFACTS | _UNREAD for finding in findings):
        done += _attempted(collection, slug, lambda: _base_model_artifacts(services, slug))
    return done


def _told(changes: ChangeSet) -> list[Done]:
    return [Done(change.key.collection, change.key.id, change.action, change.reason) for change in changes.changes]


def _unused(services: Services, finding: Finding) -> list[Done]:
    if remove_unused(services, [finding.target]):
        return [Done(finding.collection, finding.item, "removed", finding.detail)]
    return []


def _base_model_artifacts(services: Services, slug: str) -> list[Done]:
    """Copy files of a release again from the folder under ``models/``, when that is what was released.

    Raises:
        NotFoundError: nothing could be copied.
    """
    family = services.catalog.family(items.BASE_MODELS, slug)
    broken = [(named, finding) for item in family for named in named_by(item) if (finding := artifact_finding(named))]
    if not broken:
        return []
    folder = base_models.find_folder(services.settings.models, slug)
    uid = folder_digest(folder)
    released = [(named, finding) for named, finding in broken if named.item["properties"].get(items.UID) == uid]
    if not released:
        raise NotFoundError(
            f"the release of {slug!r}",
            [f"{folder} holds another version; put the released one there, or the file back"],
        )
    for named, _ in released:
        key = named.artifact.href.removeprefix(f"{services.artifacts.root}/")
        name = "/".join(key.split("/")[3:])
        source = folder if name == "folder" else folder / name
        services.artifacts.restore(source, key, shipped_files(folder) if name == "folder" else None)
    return [Done(items.BASE_MODELS, finding.item, "copied", finding.detail) for _, finding in released]


def _local_family(services: Services, slug: str, findings: Sequence[Finding]) -> list[Done]:
    done: list[Done] = []
    broken = [finding for finding in findings if finding.kind in _ARTIFACTS]
    for version in services.versions.list_many([slug]).get(slug, []) if broken else []:
        done += _local_artifacts(services, version, [f for f in broken if f.item == version.id])
    return done + _told(local_models.recompute(services, slug, over_damaged=True))


def _local_artifacts(services: Services, version: VersionRecord, findings: Sequence[Finding]) -> list[Done]:
    """Copy broken artifacts again from ZenML: what is there is kept until its source has been found."""
    if not findings:
        return []
    key = ItemKey(items.LOCAL_MODELS, version.id)
    item = services.catalog.get(key)
    if item is None:
        return []
    broken = [named for named in named_by(item) if named.artifact.href in {finding.target for finding in findings}]
    sources = local_artifacts.sources_of(services, version)
    lacking = [named.asset for named in broken if named.asset not in sources]
    if lacking:
        raise NotFoundError(
            f"a source of {', '.join(lacking)} of {version.id!r}",
            ["ZenML holds none any more; put the file back from a copy of your own"],
        )
    differing = [named.asset for named in broken if not _restored(services, version, named, sources[named.asset])]
    if differing:
        services.catalog.apply(_without_checksums(key, item, differing))
    return [Done(items.LOCAL_MODELS, version.id, "copied", finding.detail) for finding in findings]


def _restored(services: Services, version: VersionRecord, named: Named, source: Path | bytes) -> bool:
    """Copy an artifact again; whether it is now what the item says of it."""
    prefix = local_artifacts.prefix_of(version)
    href, root = named.artifact.href, f"{services.artifacts.root}/"
    if not href.startswith(f"{root}{prefix}/"):
        return False  # The item pointed elsewhere, at what is not ours: it is published anew at its own place.
    target = href.removeprefix(root)
    if isinstance(source, Path):
        return services.artifacts.restore(source, target) == named.artifact
    return services.artifacts.write(source, target) == named.artifact


def _without_checksums(key: ItemKey, item: Item, names: Sequence[str]) -> ChangeSet:
    """The item without what it says of artifacts that are others now, so that the recompute describes them anew."""
    after = copy.deepcopy(item)
    for name in names:
        after["assets"][name].pop("file:checksum", None)
    return ChangeSet((Change("update", key, "artifacts were copied again", after),), {key: digest_of(item)})

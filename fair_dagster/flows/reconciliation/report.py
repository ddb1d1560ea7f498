"""The drift report: the whole catalog against ZenML, the releases, the artifact store and Dagster's partitions.

It reads and never writes; what repairs a finding stands in ``flows.repair``. A family that cannot be judged is one
finding and never the end of the report, and what could not be read is said to be not checked.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items
from fair_dagster.domain.errors import FairError, ProblemsError, RefusedError, ServiceError
from fair_dagster.domain.items.coverage import Knowledge
from fair_dagster.domain.items.damage import DamagedItem, DocumentProblem, Scan
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.desired import items_of, local_family, slug_of, was_promoted
from fair_dagster.domain.publication.findings import (
    COLUMNS,
    Finding,
    Partitions,
    broken_links,
    dataset_partition_findings,
    family_findings,
    finetune_partition_findings,
)
from fair_dagster.domain.publication.promoted_items import local_item
from fair_dagster.domain.requests import FinetuneRequest
from fair_dagster.domain.slugs import split_version_id
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.flows.base_models.images import image_findings
from fair_dagster.flows.items import parents
from fair_dagster.flows.publication import artifacts as local_artifacts
from fair_dagster.flows.publication.released import lost_releases, restored
from fair_dagster.flows.publication.road import Plan
from fair_dagster.flows.reconciliation.artifacts import artifact_findings, store_problem
from fair_dagster.flows.reconciliation.unused import parcel_findings, unfinished_findings, unused_findings
from fair_dagster.flows.registries.publication import pushed_findings
from fair_dagster.flows.services import Services

if TYPE_CHECKING:
    import pandas as pd

_MALFORMED = (TypeError, ValueError, KeyError, AttributeError)
"""What computing with a field raises that somebody gave another form by hand; one family less, and no other."""
_NOTHING_KEPT = (
    "its file is gone, and nothing of its release was kept. Put it back from a copy of your own, or take its link out "
    "of collection.json when nobody misses it"
)

Progress = Callable[[int, int, str], None]
Parents = dict[tuple[str, int, str, int], tuple[Item, Item]]


def no_progress(done: int, total: int, what: str) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class DriftRequest:
    """What to report on.

    Args:
        collections: the collections to look at; links lead into the others as well.
        checksums: read every artifact; without it only sizes are compared.
        partitions: Dagster's keys; None leaves them out.
    """

    collections: Sequence[str] = items.COLLECTIONS
    checksums: bool = True
    partitions: Partitions | None = None


@dataclass
class _Read:
    """What one report has read. Parents are looked up once, however many versions were made from them."""

    scans: Mapping[str, Scan]
    versions: Mapping[str, Sequence[VersionRecord]] | None = None
    parents: Parents = field(default_factory=dict)

    def families(self, collection: str) -> dict[str, tuple[list[Item], list[DamagedItem]]]:
        found: dict[str, tuple[list[Item], list[DamagedItem]]] = defaultdict(lambda: ([], []))
        for item in self.scans[collection].items:
            found[slug_of(item)][0].append(item)
        for damaged in self.scans[collection].damaged:
            found[split_version_id(damaged.key.id)[0]][1].append(damaged)
        return found


def report(services: Services, ask: DriftRequest | None = None, progress: Progress = no_progress) -> list[Finding]:
    """Everything that is not as it should be, by collection.

    Raises:
        CatalogError: the catalog cannot be read at all.
    """
    ask = ask or DriftRequest()
    progress(0, 0, "the catalog")
    # The catalog is read before ZenML: what is promoted in between is then missing here, and looked at again below.
    read = _Read({collection: services.catalog.scan(collection) for collection in items.COLLECTIONS})
    findings: list[Finding] = []
    told: set[DocumentProblem] = set()
    # One that does not answer is waited for a minute, and people want to know what for.
    progress(0, 0, "the artifact store")
    away = store_problem(services)
    for collection in ask.collections:
        problems = [one for one in services.catalog.document_problems(collection) if one not in told]
        # The catalog's own document is looked at with each collection.
        told.update(problems)
        findings += [
            Finding(collection, "", "document", str(problem), "write it anew from the items") for problem in problems
        ]
        if collection == items.LOCAL_MODELS:
            findings += _local_findings(services, read, ask, progress)
        elif not away:
            findings += _release_findings(services, read, collection, progress)
        findings += _damaged(read.scans[collection])
    known = {name: _ids(scan) for name, scan in read.scans.items()}
    for collection in ask.collections:
        findings += broken_links(read.scans[collection].items, known)
    scanned = [item for scan in read.scans.values() for item in scan.items]
    findings += image_findings(services.registries, services.settings, scanned, ask.collections, progress)
    findings += pushed_findings(services.registries, services.settings, scanned, ask.collections, progress)
    if away:
        findings += [Finding(collection, "", "not checked", away) for collection in ask.collections]
    else:
        findings += artifact_findings(
            services.artifacts, services.settings, scanned, ask.collections, checksums=ask.checksums, progress=progress
        )
        findings += unfinished_findings(services.artifacts, ask.collections)
        findings += parcel_findings(services.artifacts, ask.collections, read.versions)
        # What a damaged item names is not known.
        if not any(scan.damaged for scan in read.scans.values()):
            findings += unused_findings(services.artifacts, scanned, ask.collections, read.versions)
    if ask.partitions is not None and items.DATASETS in ask.collections:
        missing = {one.family for one in findings if one.collection == items.DATASETS and one.kind == "missing"}
        slugs = {*read.families(items.DATASETS), *missing}
        findings += dataset_partition_findings(ask.partitions.datasets, slugs)
    return sorted(findings, key=lambda finding: (finding.collection, finding.item, finding.kind))


def _ids(scan: Scan) -> set[str]:
    return {str(item["id"]) for item in scan.items} | {damaged.key.id for damaged in scan.damaged}


def _damaged(scan: Scan) -> list[Finding]:
    return [
        Finding(
            one.key.collection,
            one.key.id,
            "damaged",
            f"its file cannot be read: {one.problem}",
            "put a copy aside and write it anew",
            split_version_id(one.key.id)[0],
        )
        for one in scan.damaged
    ]


def _release_findings(services: Services, read: _Read, collection: str, progress: Progress) -> list[Finding]:
    families = read.families(collection)
    found_lost = lost_releases(
        services.catalog, services.artifacts, collection, read.scans[collection].items, _ids(read.scans[collection])
    )
    lost = found_lost.ids
    findings = [
        Finding(collection, slug, "not checked", problem, "", slug) for slug, problem in found_lost.unread.items()
    ]
    slugs = sorted({*families, *lost})
    for done, slug in enumerate(slugs):
        progress(done, len(slugs), collection)
        published, damaged = families.get(slug, ([], []))
        judge = partial(_of_release_family, services, collection, slug, published, damaged, lost.get(slug, ()))
        found = _judged(collection, slug, judge)
        broken = {one.key.id for one in damaged}
        findings += [finding for finding in found if finding.item not in broken]
        told = {finding.item for finding in found}
        findings += [
            Finding(collection, item_id, "missing", _NOTHING_KEPT, "", slug)
            for item_id in lost.get(slug, ())
            if item_id not in told
        ]
    return findings


def _of_release_family(  # noqa: PLR0917
    services: Services,
    collection: str,
    slug: str,
    published: Sequence[Item],
    damaged: Sequence[DamagedItem],
    missing: Sequence[str],
) -> list[Finding]:
    changes = restored(
        services.artifacts, services.knowledge, collection, slug, published, damaged=damaged, missing=missing
    )
    return family_findings(published, changes, {})


def _judged(collection: str, slug: str, judge: Callable[[], list[Finding]]) -> list[Finding]:
    """What ``judge`` finds, or why the family cannot be judged."""
    try:
        return judge()
    except ProblemsError as error:
        return [Finding(collection, slug, "unpublishable", problem, "", slug) for problem in error.problems]
    except (FairError, *_MALFORMED) as error:
        return [Finding(collection, slug, "not checked", _told(error), "", slug)]


def _told(error: Exception) -> str:
    if isinstance(error, FairError):
        return str(error)
    return f"an item that it is computed from has a field of another form than it should: {error!r}"


def _local_findings(services: Services, read: _Read, ask: DriftRequest, progress: Progress) -> list[Finding]:
    families = read.families(items.LOCAL_MODELS)
    try:
        names = sorted({*services.versions.families(), *families})
        read.versions = services.versions.list_many(names)
    except ServiceError as error:
        # Without ZenML nothing is missing and nothing is orphaned: it is not known.
        return [Finding(items.LOCAL_MODELS, "", "not checked", f"ZenML could not be read: {error}")]
    findings: list[Finding] = []
    for done, slug in enumerate(names):
        progress(done, len(names), items.LOCAL_MODELS)
        published, damaged = families.get(slug, ([], []))
        judge = partial(_confirmed, services, slug, published, damaged, read)
        findings += _judged(items.LOCAL_MODELS, slug, judge)
    if ask.partitions is not None:
        findings += _finetune_partitions(read, ask.partitions, findings)
    return findings


def _confirmed(
    services: Services, slug: str, published: Sequence[Item], damaged: Sequence[DamagedItem], read: _Read
) -> list[Finding]:
    """What is wrong with a family, when a second look finds it as well: a writer may have been at work before."""
    found = _of_local_family(services, slug, published, damaged, read)
    if not found:
        return []
    now = services.catalog.scan(items.LOCAL_MODELS, slug).items
    again = _of_local_family(services, slug, now, [], _Read({}, services.versions.list_many([slug])))
    return [finding for finding in found if finding in again]


def _of_local_family(
    services: Services, slug: str, published: Sequence[Item], damaged: Sequence[DamagedItem], read: _Read
) -> list[Finding]:
    versions = tuple((read.versions or {}).get(slug, ()))
    own = items_of(versions, published)
    uids = frozenset(own)
    refused: dict[str, RefusedError] = {}

    def content(version: VersionRecord) -> Item:
        try:
            return _content(services.catalog, services.knowledge, version, published, read.parents)
        except (FairError, *_MALFORMED) as error:
            problems = error.problems if isinstance(error, ProblemsError) else (_told(error),)
            refused[version.uuid] = RefusedError(version.id, problems)
            return own.get(version.uuid) or {"type": "Feature", "properties": {}, "links": [], "assets": {}}

    family = local_family(slug, versions, published, content)
    changes = Plan(family, published).changes()
    broken = {one.key.id for one in damaged}
    successors = {version.id: version.uuid for version in versions}
    findings = [f for f in family_findings(published, changes, successors) if f.item not in broken]
    unpublished = [v for v in versions if was_promoted(v, uids) and v.uuid not in uids]
    for version in unpublished:
        if problems := local_artifacts.publication_problems(services.settings, version):
            refused[version.uuid] = RefusedError(version.id, problems)
    ids = {version.uuid: version.id for version in versions}
    stuck = {ids[uuid] for uuid in refused}
    findings = [finding for finding in findings if finding.item not in stuck]
    return findings + [
        Finding(items.LOCAL_MODELS, ids[uuid], "unpublishable", problem, "", slug)
        for uuid, error in refused.items()
        for problem in error.problems
    ]


def _content(
    catalog: CatalogStore, knowledge: Knowledge, version: VersionRecord, published: Sequence[Item], known: Parents
) -> Item:
    """The item body of ``version`` with the artifacts that its item names; nothing is copied for a report."""
    request = FinetuneRequest.of(version)
    if request is None:
        raise RefusedError(version.id, ["it was not made by this system: its base model and dataset are not known"])
    key = (request.base_model, request.base_model_version, request.dataset, request.dataset_version)
    if key not in known:
        known[key] = parents(catalog, request)
    base_model, dataset = known[key]
    if not items_of([version], published):
        # Not published yet: that it is missing is all there is to say, and its links are.
        return {"type": "Feature", "properties": {}, "links": [], "assets": {}}
    artifacts = local_artifacts.named_artifacts(published, version)
    return local_item(version, request, base_model, dataset, artifacts, knowledge=knowledge)


def _finetune_partitions(read: _Read, partitions: Partitions, found: Sequence[Finding]) -> list[Finding]:
    """Partitions against items and versions. An item that a repair removes keeps none: one repair is enough."""
    in_zenml = {version.id for versions in (read.versions or {}).values() for version in versions}
    leaving = {finding.item for finding in found if finding.kind == "orphaned"} - in_zenml
    published: dict[str, set[str]] = defaultdict(set)
    for item in read.scans[items.LOCAL_MODELS].items:
        if item["id"] not in leaving:
            published[str(item["properties"].get("fair:base_model"))].add(str(item["id"]))
    return finetune_partition_findings(partitions, published, in_zenml)


def table(findings: Sequence[Finding]) -> "pd.DataFrame":
    """A row a finding, for people and notebooks; the columns are there without findings, too."""
    import pandas as pd

    return pd.DataFrame([finding.row() for finding in findings], columns=list(COLUMNS))

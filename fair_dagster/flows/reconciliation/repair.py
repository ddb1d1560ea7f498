"""Repairing what the drift report found: families are recomputed, documents written anew, artifacts copied again.

Each thing done is returned with its reason. What cannot be repaired stays a finding. Killed in the middle, it is run
again; run twice, it changes nothing the second time. Dagster's partitions are left to the caller.

See docs/decisions/0015.
"""

from collections.abc import Callable, Sequence
from functools import partial

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items
from fair_dagster.domain.errors import FairError
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.domain.publication.findings import Done, Finding
from fair_dagster.flows.base_models.images import Round, pinned_again
from fair_dagster.flows.publication import families as local_models
from fair_dagster.flows.publication import road
from fair_dagster.flows.publication.released import restored
from fair_dagster.flows.publication.releases import republish
from fair_dagster.flows.reconciliation import unused
from fair_dagster.flows.reconciliation.recovery import base_model_artifacts, local_artifacts_again
from fair_dagster.flows.reconciliation.report import Progress, no_progress
from fair_dagster.flows.reconciliation.unused import named_nowhere_else
from fair_dagster.flows.registries.publication import push_again
from fair_dagster.flows.services import Services

_ORDER = (items.BASE_MODELS, items.DATASETS, items.LOCAL_MODELS)
"""Parents first: what is made of them is computed from them."""
_ARTIFACTS = frozenset({"missing artifact", "changed artifact"})
_UNREAD = frozenset({"damaged", "missing"})
"""Whose artifacts nobody could compare: they are looked at once the item is back."""
_HIDING = frozenset({"unpublishable", "not checked"})
"""What keeps a family from being judged. It may be over once the parents are repaired."""


def repair(services: Services, findings: Sequence[Finding], progress: Progress = no_progress) -> list[Done]:
    """Repair what ``findings`` name. A family that cannot be repaired does not stop the others."""
    done: list[Done] = []
    blind = {finding.collection for finding in findings if finding.kind == "not checked" and not finding.family}
    wanted = [finding for finding in findings if finding.family and (finding.repair or finding.kind in _HIDING)]
    registries = Round(services.registries)
    families = sorted({(_ORDER.index(finding.collection), finding.family) for finding in wanted})
    for position, (order, slug) in enumerate(families):
        progress(position, len(families), "repair")
        collection = _ORDER[order]
        own = [finding for finding in findings if (finding.collection, finding.family) == (collection, slug)]
        is_due = any(finding.repair for finding in own) or _did_parents(done, collection)
        if collection not in blind and is_due:
            done += _attempted(collection, slug, partial(_family, services, collection, slug, own, registries))
    for finding in findings:
        if finding.kind == "unused artifact":
            remove = partial(unused.remove, services.catalog, services.artifacts, finding, findings, done)
            done += _attempted(finding.collection, finding.item, remove)
        elif finding.kind == "unfinished artifact":
            done += _attempted(finding.collection, "", partial(unused.discard, services.artifacts, finding))
    told = {finding.collection for finding in findings if finding.kind == "document"}
    changed = {one.collection for one in done if not one.failed}
    for collection in _ORDER:
        if collection in told | changed:
            done += _attempted(collection, "", partial(_document, services.catalog, collection, findings, done))
    return done


def _document(catalog: CatalogStore, collection: str, findings: Sequence[Finding], done: Sequence[Done]) -> list[Done]:
    """Write a collection document anew, unless it is all that still names an item which could not be restored."""
    problems = catalog.document_problems(collection)
    if not problems:
        return []
    if reason := named_nowhere_else(catalog, collection, findings, done):
        return [Done(collection, "", "not repaired", reason, failed=True)]
    catalog.refresh(collection)
    files: dict[str, list[str]] = {}
    for problem in problems:
        files.setdefault(problem.document, []).append(problem.detail)
    return [Done(collection, "", "document", f"{file}: {'; '.join(details)}") for file, details in files.items()]


def _did_parents(done: Sequence[Done], collection: str) -> bool:
    """Whether something was done that a family, which could not be judged before, may have been waiting for."""
    return collection == items.LOCAL_MODELS and any(not one.failed for one in done)


def _attempted(collection: str, slug: str, act: Callable[[], list[Done]]) -> list[Done]:
    try:
        return act()
    except FairError as error:
        return [Done(collection, slug, "not repaired", str(error), failed=True)]


def _family(
    services: Services, collection: str, slug: str, findings: Sequence[Finding], registries: Round
) -> list[Done]:
    if collection == items.LOCAL_MODELS:
        return _local_family(services, slug, findings)
    done: list[Done] = []

    def decide() -> ChangeSet:
        scan = services.catalog.scan(collection, slug)
        present = {*(item["id"] for item in scan.items), *(one.key.id for one in scan.damaged)}
        missing = [f.item for f in findings if f.kind == "missing" and f.item not in present]
        return restored(
            services.artifacts, services.knowledge, collection, slug, scan.items, damaged=scan.damaged, missing=missing
        )

    done += _told(road.apply(services.catalog, decide, services.validator))
    if any(finding.kind == "misplaced artifact" for finding in findings):
        done += _attempted(collection, slug, lambda: _told(republish(services, collection, slug)))
    if collection == items.BASE_MODELS and any(finding.kind == "unpinned image" for finding in findings):
        done += _attempted(collection, slug, lambda: pinned_again(services, slug, registries))
    if collection == items.BASE_MODELS and any(finding.kind in _ARTIFACTS | _UNREAD for finding in findings):
        done += _attempted(collection, slug, lambda: base_model_artifacts(services, slug))
    return done


def _told(changes: ChangeSet) -> list[Done]:
    return [Done(change.key.collection, change.key.id, change.action, change.reason) for change in changes.changes]


def _local_family(services: Services, slug: str, findings: Sequence[Finding]) -> list[Done]:
    done: list[Done] = []
    broken = [finding for finding in findings if finding.kind in _ARTIFACTS]
    for version in services.versions.list_many([slug]).get(slug, []) if broken else []:
        done += local_artifacts_again(services, version, [f for f in broken if f.item == version.id])
    if any(one.failed for one in done):
        return done  # The recompute would publish the source that was just found to differ.
    done += _told(local_models.recompute(services, slug, over_damaged=True))
    return done + push_again(services, findings)

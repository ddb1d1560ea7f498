"""Recomputing many families in one run: read together, written one by one.

The three steps are those of ``families``, which holds what happens to one family of finetuned models; datasets take one
step (``republish``). A family that fails does not stop the others; a service that is down stops them all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from fair_dagster.domain import items
from fair_dagster.domain.errors import ConflictError, NotFoundError, PartialError, ServiceError
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.flows.publication import families, releases
from fair_dagster.flows.publication.families import Gathered
from fair_dagster.flows.services import Services

Tell = Callable[[str], None]
"""Where progress is told, a sentence at a time."""

_TOLD_EVERY = 50
A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class FamilyBatch:
    """Families on their way into the catalog.

    Attributes:
        gathered: those that nothing has gone wrong with yet, by slug.
        failures: why the others are not among them, by slug.
    """

    gathered: Mapping[str, Gathered]
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def alone(self) -> bool:
        return len(self.gathered) + len(self.failures) == 1


@dataclass(frozen=True)
class BatchOutcome:
    """What was written, and why the rest was not, by slug."""

    changes: Mapping[str, ChangeSet]
    failures: Mapping[str, str]

    def require_whole(self) -> None:
        """Make sure that nothing failed.

        Raises:
            PartialError: with every family that did.
        """
        if self.failures:
            known = len(self.failures) + len(self.changes)
            problems = [f"{slug}: {' '.join(why.split())}" for slug, why in sorted(self.failures.items())]
            raise PartialError(f"publication of {len(self.failures)} of {known} families", problems)


def each(
    named: Mapping[str, A], act: Callable[[A], B], tell: Tell | None = None, *, alone: bool = False
) -> tuple[dict[str, B], dict[str, str]]:
    """``act`` on each: results and failures by name.

    Args:
        alone: there is only one; its error is raised as it is, because that tells most.
    """
    done: dict[str, B] = {}
    failed: dict[str, str] = {}
    for count, (name, one) in enumerate(named.items(), start=1):
        try:
            done[name] = act(one)
        except Exception as error:
            # Whatever is wrong with one is not wrong with the next, unless a service is down.
            if alone or isinstance(error, ServiceError):
                raise
            failed[name] = str(error) or type(error).__name__
        if tell is not None and not alone and (count % _TOLD_EVERY == 0 or count == len(named)):
            tell(f"{count} of {len(named)} families, {len(failed)} failed")
    return done, failed


def gather(services: Services, slugs: Sequence[str], *, without: str = "", keep_gone: bool = False) -> FamilyBatch:
    """Read families: the published items of each, then the versions of all.

    Args:
        without: UUID of a version that counts as gone; only for a single family.
        keep_gone: as in ``Gathered``.

    Raises:
        ServiceError: ZenML did not answer. A failed read is not an empty one.
    """
    if len(slugs) == 1:
        return FamilyBatch({slugs[0]: families.gather(services, slugs[0], without, keep_gone=keep_gone)})
    named = {slug: slug for slug in slugs}
    published, failures = each(named, lambda slug: tuple(services.catalog.family(items.LOCAL_MODELS, slug)))
    versions = services.versions.list_many(list(published))
    gathered = {
        slug: Gathered(slug, family, tuple(versions.get(slug, ())), keep_gone=keep_gone)
        for slug, family in published.items()
    }
    return FamilyBatch(gathered, failures=failures)


def described(batch: FamilyBatch) -> str:
    """What was gathered, in a line: the stages of a single family, numbers of many."""
    gathered = list(batch.gathered.values())
    if len(gathered) != 1:
        return f"{len(gathered)} families with {sum(len(one.published) for one in gathered)} published items"
    (one,) = gathered
    stages = ", ".join(f"v{version.number} {version.stage}" for version in one.versions) or "no versions"
    return f"{one.slug}: {stages}; {len(one.published)} published items"


def told(outcome: BatchOutcome) -> list[str]:
    """Every change with its reason, some families a text: each text becomes an event, which costs 30 ms to store."""
    changed = [changes.changes for changes in outcome.changes.values() if changes]
    texts = []
    for start in range(0, len(changed), _TOLD_EVERY):
        changes = [change for family in changed[start : start + _TOLD_EVERY] for change in family]
        texts.append("\n".join(f"{change.action} {change.key}: {change.reason}" for change in changes))
    return texts


def publish_artifacts(services: Services, batch: FamilyBatch) -> FamilyBatch:
    """Copy what promoted versions made and is not there yet."""
    published, failures = each(batch.gathered, partial(families.publish_artifacts, services), alone=batch.alone)
    return FamilyBatch(published, {**batch.failures, **failures})


def apply(services: Services, batch: FamilyBatch, tell: Tell) -> BatchOutcome:
    """Write each family as it should be, in one atomic step each."""

    def write(one: Gathered) -> ChangeSet:
        try:
            return families.apply_publication(services, one)
        except ConflictError:
            tell(f"{one.slug}: another writer was faster; reading the family again")
            return families.recompute(services, one.slug, one.without, keep_gone=one.keep_gone)

    changes, failures = each(batch.gathered, write, tell, alone=batch.alone)
    return BatchOutcome(changes, {**batch.failures, **failures})


def republish(services: Services, collection: str, slugs: Sequence[str], tell: Tell) -> BatchOutcome:
    """Recompute families of base models or datasets from what the catalog holds, one by one."""

    def one(slug: str) -> ChangeSet:
        if not services.catalog.family(collection, slug):
            raise NotFoundError(f"{slug!r}", [f"there is no such item in {collection}; register it"])
        return releases.republish(services, collection, slug)

    return BatchOutcome(*each({slug: slug for slug in slugs}, one, tell, alone=len(slugs) == 1))

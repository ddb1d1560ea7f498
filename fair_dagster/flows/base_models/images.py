"""Runtime images of base models: pinned to digests by asking their registries, and looked up again afterwards.

A version keeps the image that it was released with, wherever its tag moves. What a reference means and how a registry
is asked stands in ``oci``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items
from fair_dagster.domain.errors import FairError, NotFoundError, ProblemsError, RefusedError, UnreachableError
from fair_dagster.domain.items.images import pinned_images, runtime_images, unpinned_images, with_pins
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.domain.publication.desired import slug_of
from fair_dagster.domain.publication.drift import diff
from fair_dagster.domain.publication.findings import Done, Finding
from fair_dagster.flows.publication import road
from fair_dagster.flows.publication.folders import folder_of
from fair_dagster.flows.publication.released import releases_of, remember
from fair_dagster.flows.services import Services
from fair_dagster.oci.references import Reference
from fair_dagster.settings import Settings
from fair_dagster.storage.store import ArtifactStore

if TYPE_CHECKING:
    from fair_dagster.oci.registry.registries import Registries

_OFFLINE = "no registry is asked while FAIR_OFFLINE is set"


@dataclass(frozen=True)
class Pins:
    """What registries said: pinned images, and why others are not; both by the reference asked for."""

    found: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def told(self) -> list[str]:
        return [f"image {href} is not pinned to a digest: {problem}" for href, problem in self.problems.items()]


def reference_problems(item: Item) -> list[str]:
    """Runtime images whose references cannot be read."""
    problems = []
    for key, href in runtime_images(item).items():
        try:
            Reference.parse(href)
        except RefusedError as error:
            problems += [f"assets.{key}: href {href!r}: {problem}" for problem in error.problems]
    return problems


class Round:
    """Asks registries for one image after the other; waiting once for one that does not answer is enough.

    One round is shared by all that asks in a row: a check of all base models, or the repair of all.
    """

    def __init__(self, registries: "Registries") -> None:
        self._registries = registries
        self._silent: dict[str, UnreachableError] = {}

    def digest_of(self, reference: Reference) -> str:
        if error := self._silent.get(reference.registry):
            raise UnreachableError(f"{reference} was not asked for, as its registry did not answer before: {error}")
        try:
            return self._registries.digest_of(reference)
        except UnreachableError as error:
            self._silent[reference.registry] = error
            raise


def find_pins(
    registries: "Registries", settings: Settings, hrefs: Iterable[str], asked_before: Round | None = None
) -> Pins:
    """Ask the registries which digests ``hrefs`` have now."""
    found: dict[str, str] = {}
    problems: dict[str, str] = {}
    asked = asked_before or Round(registries)
    for href in sorted(set(hrefs)):
        try:
            reference = Reference.parse(href)
            if reference.digest is not None:
                found[href] = str(reference.at(reference.digest))
            elif settings.offline:
                problems[href] = _OFFLINE
            else:
                found[href] = str(reference.at(asked.digest_of(reference)))
        except FairError as error:
            problems[href] = _clause(error)
    return Pins(found, problems)


def pin(catalog: CatalogStore, artifacts: ArtifactStore, slug: str, asked: Pins) -> ChangeSet:
    """Pin what is not pinned of the active version of a base model, and keep it so with its release."""
    if not asked.found:
        return ChangeSet()

    def decide() -> ChangeSet:
        active = _active(catalog, slug)
        renewed = [with_pins(item, {**asked.found, **pinned_images(item)}) for item in active]
        changes = diff(active, renewed)
        if changes:
            # First: a process that ends here leaves a release from which the item is put right.
            for item in renewed:
                _keep(artifacts, slug, item)
        return changes

    return road.apply(catalog, decide)


def _keep(artifacts: ArtifactStore, slug: str, item: Item) -> None:
    """Keep the pins with the release of ``item``, whose other fields stay as they were released."""
    uid = str(item["properties"].get(items.UID, ""))
    kept = next((one for one in releases_of(artifacts, items.BASE_MODELS, slug) if one.uid == uid), None)
    if kept is not None:
        folder = folder_of(items.BASE_MODELS, slug, kept.number, uid)
        remember(artifacts, folder, with_pins(kept.item, pinned_images(item)), uid, anew=True)


def pinned_again(services: Services, slug: str, registries: Round) -> list[Done]:
    """What ``pin`` does of a base model, and why it leaves images that it cannot pin."""
    asked = find_pins(
        services.registries,
        services.settings,
        (href for item in _active(services.catalog, slug) for href in unpinned_images(item).values()),
        registries,
    )
    changes = pin(services.catalog, services.artifacts, slug, asked).changes
    done = [Done(change.key.collection, change.key.id, change.action, change.reason) for change in changes]
    return done + [Done(items.BASE_MODELS, slug, "not repaired", problem, failed=True) for problem in asked.told]


def image_findings(
    registries: "Registries",
    settings: Settings,
    scanned: Sequence[Item],
    collections: Sequence[str],
    progress: Callable[[int, int, str], None],
) -> list[Finding]:
    """Images of base models that are not pinned, or that their registries do not have any more.

    Models made from a base model run in its images, and are not named beside it.
    """
    models = [item for item in scanned if item["collection"] == items.BASE_MODELS]
    if items.BASE_MODELS not in collections:
        return []
    known: dict[str, FairError | None] = {}
    asked = Round(registries)
    findings = []
    for done, item in enumerate(models):
        progress(done, len(models), "images")
        if items.is_active(item):
            findings += [_unpinned_finding(settings, item, key, href) for key, href in unpinned_images(item).items()]
        pinned = {} if settings.offline else pinned_images(item)
        for image in sorted(set(pinned.values())):
            if image not in known:
                known[image] = _lookup(asked, image)
            if error := known[image]:
                findings.append(_lookup_finding(item, image, error))
    return findings


def _unpinned_finding(settings: Settings, item: Item, key: str, href: str) -> Finding:
    reason = f": {_OFFLINE}" if settings.offline else ""
    detail = f"asset {key!r}: {href} is not pinned to a digest{reason}"
    repair = "" if settings.offline else "ask its registry, and pin it"
    return Finding(items.BASE_MODELS, str(item["id"]), "unpinned image", detail, repair, slug_of(item), href)


def _lookup(registries: Round, image: str) -> FairError | None:
    try:
        registries.digest_of(Reference.parse(image))
    except FairError as error:
        return error
    return None


def _lookup_finding(item: Item, image: str, error: FairError) -> Finding:
    item_id, slug = str(item["id"]), slug_of(item)
    if isinstance(error, NotFoundError):
        detail = f"{_clause(error)}; what was trained in it cannot be run again. Push it again, or register another"
        return Finding(items.BASE_MODELS, item_id, "missing image", f"{image}: {detail}", "", slug, image)
    return Finding(items.BASE_MODELS, item_id, "unchecked image", _clause(error), "", slug, image)


def _active(catalog: CatalogStore, slug: str) -> list[Item]:
    return [item for item in catalog.family(items.BASE_MODELS, slug) if items.is_active(item)]


def _clause(error: FairError) -> str:
    return "; ".join(error.problems) if isinstance(error, ProblemsError) else str(error)

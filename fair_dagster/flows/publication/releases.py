"""Publishing a base model or a dataset: both are released under one slug, and have children to keep linked.

See docs/decisions/0014.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from fair_dagster.catalog.json.reading import DamagedFileError
from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items
from fair_dagster.domain.errors import FairError
from fair_dagster.domain.items.migrations import current
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.domain.publication.desired import Family, Release, next_number, release_family, retired_family
from fair_dagster.flows.publication import road
from fair_dagster.flows.publication.folders import folder_of
from fair_dagster.flows.publication.places import settle_assets, settle_document
from fair_dagster.flows.publication.released import RELEASE_FILE, remember
from fair_dagster.flows.publication.road import Plan
from fair_dagster.flows.services import Services
from fair_dagster.settings import Settings
from fair_dagster.storage.store import ArtifactStore


@dataclass(frozen=True)
class Incoming:
    """What is being registered.

    Args:
        uid: digest of the content: equal digests are one version.
        declared: the version number its author gave it.
        content: builds the item, and stores its artifacts in the folder of the artifact store that it gets.
    """

    uid: str
    declared: int
    content: Callable[[str], Item]


def publish(services: Services, collection: str, slug: str, release: Incoming) -> ChangeSet:
    """Make ``release`` the active version of ``slug``; equal content changes nothing.

    Raises:
        CatalogError, StorageError: the disk refused; neither an item nor artifacts are left behind.
    """
    folders: set[str] = set()

    def family_with(published: Sequence[Item]) -> Family:
        number = next_number(published, release.uid, release.declared)
        folder = folder_of(collection, slug, number, release.uid)
        folders.add(folder)
        return release_family(collection, slug, published, release.content(folder), release.uid)

    try:
        changes = _write(services, collection, slug, family_with)
    except Exception:
        _remove_unpublished(services.catalog, services.artifacts, collection, slug, folders)
        raise
    _keep(services.catalog, services.artifacts, collection, slug, release.uid)
    return changes


def retire(services: Services, collection: str, slug: str) -> ChangeSet:
    """Deprecate the active version of ``slug``, without a successor."""
    return _write(services, collection, slug, partial(retired_family, collection, slug))


def republish(services: Services, collection: str, slug: str) -> ChangeSet:
    """Recompute the family from what the catalog holds: repairs links, deprecation and what is derived.

    Items of a former schema version, active or not, are migrated in place.

    Raises:
        RefusedError: an item is of a schema version that this release does not know.
    """
    return _write(services, collection, slug, partial(release_family, collection, slug))


def _write(services: Services, collection: str, slug: str, family_of: Callable[[Sequence[Item]], Family]) -> ChangeSet:
    """Bring the catalog to the family that ``family_of`` makes of the published items."""

    def decide() -> ChangeSet:
        published = services.catalog.family(collection, slug)
        family = family_of(published)
        releases = [
            replace(
                release,
                content=current(_settle(services.artifacts, services.settings, family, release), services.knowledge),
            )
            for release in family.releases
        ]
        family = replace(family, releases=tuple(releases))
        return Plan(family, published, find_children=lambda: _find_children(services.catalog, family)).changes()

    return road.apply(services.catalog, decide)


def _settle(artifacts: ArtifactStore, settings: Settings, family: Family, release: Release) -> Item:
    """The item with its artifacts where they belong now, and with them what was kept of the release."""
    former = settings.artifacts_path
    folder = folder_of(family.collection, family.slug, release.number, release.uid)
    item = settle_assets(artifacts, former, release.content, folder)
    if item != release.content:
        settle_document(artifacts, former, f"{folder}/{RELEASE_FILE}")
    return item


def _find_children(catalog: CatalogStore, family: Family) -> list[Item]:
    """The finetuned models made from ``family``. A damaged one is left out: its repair links it as ZenML has it."""
    children = []
    for entry in catalog.entries(items.LOCAL_MODELS):
        if entry.parents[family.collection] == family.slug:
            with suppress(DamagedFileError):
                item = catalog.get(ItemKey(items.LOCAL_MODELS, entry.id))
                children += [item] if item is not None else []
    return children


def _keep(catalog: CatalogStore, artifacts: ArtifactStore, collection: str, slug: str, uid: str) -> None:
    """Keep the item as it was released: reconciliation restores it from there, and reports where it cannot."""
    with suppress(FairError):
        for item in catalog.family(collection, slug):
            if item["properties"].get(items.UID) == uid:
                remember(artifacts, folder_of(collection, slug, items.number_of(item), uid), item, uid)


def _remove_unpublished(
    catalog: CatalogStore, artifacts: ArtifactStore, collection: str, slug: str, folders: Iterable[str]
) -> None:
    """Remove those of ``folders`` that no item names."""
    # The error that led here is the one to report, not that of a disk that refuses this as well.
    with suppress(FairError, OSError):
        published = catalog.family(collection, slug)
        hrefs = [str(asset.get("href", "")) for item in published for asset in item["assets"].values()]
        for folder in folders:
            if not any((artifacts.key_of(href) or "").startswith(f"{folder}/") for href in hrefs):
                artifacts.remove(folder)

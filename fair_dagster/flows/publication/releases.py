"""Publishing a base model or a dataset: both are released under one slug, and have children to keep linked.

See docs/decisions/0014.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from fair_dagster.catalog.json.reading import DamagedFileError
from fair_dagster.domain import items
from fair_dagster.domain.errors import FairError
from fair_dagster.domain.items.migrations import current
from fair_dagster.domain.publication.changes import ChangeSet, Item, ItemKey
from fair_dagster.domain.publication.desired import (
    Family,
    Release,
    desired_items,
    next_number,
    release_family,
    relink_parents,
    retired_family,
)
from fair_dagster.domain.publication.drift import diff
from fair_dagster.flows.publication.released import RELEASE_FILE, remember
from fair_dagster.flows.reconciliation.places import settle_document, with_settled_assets
from fair_dagster.flows.services import Services


@dataclass(frozen=True)
class Incoming:
    """What is being registered.

    Args:
        uid: digest of the content: equal digests are one version.
        declared: the version number its author gave it.
        content: builds the item for the version number it gets, and stores its artifacts in ``release_folder``.
    """

    uid: str
    declared: int
    content: Callable[[int], Item]


def release_folder(number: int, uid: str) -> str:
    """The folder of a release's artifacts under its slug.

    The digest keeps apart a release from what a process that was killed may have left under the same number.
    """
    return f"v{number}-{uid.removeprefix('sha256:')[:8]}"


def publish(services: Services, collection: str, slug: str, release: Incoming) -> ChangeSet:
    """Make ``release`` the active version of ``slug``; equal content changes nothing.

    Raises:
        CatalogError, StorageError: the disk refused; neither an item nor artifacts are left behind.
    """
    prefixes: set[str] = set()

    def decide() -> ChangeSet:
        published = services.catalog.family(collection, slug)
        number = next_number(published, release.uid, release.declared)
        prefixes.add(f"{collection}/{slug}/{release_folder(number, release.uid)}")
        family = release_family(collection, slug, published, release.content(number), release.uid)
        return _changes(services, family, published)

    try:
        changes = services.apply(decide)
    except Exception:
        _remove_unpublished(services, collection, slug, prefixes)
        raise
    _keep(services, collection, slug, release.uid)
    return changes


def _keep(services: Services, collection: str, slug: str, uid: str) -> None:
    """Keep the item as it was released: reconciliation restores it from there. Without it, it has to be told."""
    with suppress(FairError):
        for item in services.catalog.family(collection, slug):
            if item["properties"].get(items.UID) == uid:
                prefix = f"{collection}/{slug}/{release_folder(items.number_of(item), uid)}"
                remember(services, prefix, item, uid)


def _remove_unpublished(services: Services, collection: str, slug: str, prefixes: Iterable[str]) -> None:
    """Remove artifacts under ``prefixes`` that no item names."""
    # The error that led here is the one to be told, not that of a disk that refuses this as well.
    with suppress(FairError, OSError):
        published = services.catalog.family(collection, slug)
        hrefs = [str(asset.get("href", "")) for item in published for asset in item["assets"].values()]
        for prefix in prefixes:
            if not any((services.artifacts.key_of(href) or "").startswith(f"{prefix}/") for href in hrefs):
                services.artifacts.remove(prefix)


def retire(services: Services, collection: str, slug: str) -> ChangeSet:
    """Deprecate the active version of ``slug``, without a successor."""

    def decide() -> ChangeSet:
        published = services.catalog.family(collection, slug)
        return _changes(services, retired_family(collection, slug, published), published)

    return services.apply(decide)


def republish(services: Services, collection: str, slug: str) -> ChangeSet:
    """Recompute the family from what the catalog holds: repairs links, deprecation and what is derived.

    Items of a former schema version, active or not, are migrated in place.

    Raises:
        RefusedError: an item is of a schema version that this release does not know.
    """

    def decide() -> ChangeSet:
        published = services.catalog.family(collection, slug)
        return _changes(services, release_family(collection, slug, published), published)

    return services.apply(decide)


def _settled(services: Services, family: Family, release: Release) -> Item:
    """The item with its artifacts where they belong now, and with them what was kept of the release."""
    prefix = f"{family.collection}/{family.slug}/{release_folder(release.number, release.uid)}"
    settled = with_settled_assets(services, release.content, prefix)
    if settled != release.content:
        settle_document(services, f"{prefix}/{RELEASE_FILE}")
    return settled


def _changes(services: Services, family: Family, published: list[Item]) -> ChangeSet:
    releases = [
        replace(release, content=current(_settled(services, family, release), services.knowledge))
        for release in family.releases
    ]
    desired = desired_items(replace(family, releases=tuple(releases)))
    children = _children(services, family) if _ids_moved(published, desired) else []
    relinked = relink_parents(children, {(family.collection, family.slug): desired})
    return diff([*published, *children], [*desired, *relinked])


def _ids_moved(published: list[Item], desired: list[Item]) -> bool:
    """Whether a version that exists already gets another id, so that links to it must follow."""
    ids = {item["properties"].get("version"): item["id"] for item in desired}
    return any(ids.get(item["properties"].get("version")) != item["id"] for item in published)


def _children(services: Services, family: Family) -> list[Item]:
    """The finetuned models made from ``family``. A damaged one is left out: its repair links it as ZenML has it."""
    children = []
    for entry in services.catalog.entries(items.LOCAL_MODELS):
        if entry.parents[family.collection] == family.slug:
            with suppress(DamagedFileError):
                item = services.catalog.get(ItemKey(items.LOCAL_MODELS, entry.id))
                children += [item] if item is not None else []
    return children

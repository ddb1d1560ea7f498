"""Publishing a base model or a dataset: both are released under one slug, and have children to keep linked."""

from collections.abc import Callable
from dataclasses import dataclass

from fair_dagster.domain import items
from fair_dagster.domain.changes import ChangeSet, Item
from fair_dagster.domain.drift import diff
from fair_dagster.domain.publication import (
    Family,
    desired_items,
    next_number,
    release_family,
    relink_parents,
    retired_family,
)
from fair_dagster.flows.services import Services


@dataclass(frozen=True)
class Incoming:
    """What is being registered.

    Args:
        uid: digest of the content: equal digests are one version.
        declared: the version number its author gave it.
        content: builds the item for the version number it gets, and stores its artifacts under that number.
    """

    uid: str
    declared: int
    content: Callable[[int], Item]


_PARENT_FIELDS = {items.BASE_MODELS: "fair:base_model", items.DATASETS: "fair:dataset"}


def release_folder(number: int, uid: str) -> str:
    """The folder of a release's artifacts under its slug.

    The digest keeps apart a release from what a process that was killed may have left under the same number.
    """
    return f"v{number}-{uid.removeprefix('sha256:')[:8]}"


def publish(services: Services, collection: str, slug: str, release: Incoming) -> ChangeSet:
    """Make ``release`` the active version of ``slug``; equal content changes nothing."""

    def decide() -> ChangeSet:
        published = services.catalog.family(collection, slug)
        number = next_number(published, release.uid, release.declared)
        family = release_family(collection, slug, published, release.content(number), release.uid)
        return _changes(services, family, published)

    return services.apply(decide)


def retire(services: Services, collection: str, slug: str) -> ChangeSet:
    """Deprecate the active version of ``slug``, without a successor."""

    def decide() -> ChangeSet:
        published = services.catalog.family(collection, slug)
        return _changes(services, retired_family(collection, slug, published), published)

    return services.apply(decide)


def republish(services: Services, collection: str, slug: str) -> ChangeSet:
    """Recompute the family from what the catalog holds: repairs links and deprecation."""

    def decide() -> ChangeSet:
        published = services.catalog.family(collection, slug)
        return _changes(services, release_family(collection, slug, published), published)

    return services.apply(decide)


def _changes(services: Services, family: Family, published: list[Item]) -> ChangeSet:
    desired = desired_items(family)
    children = _children(services, family) if _ids_moved(published, desired) else []
    relinked = relink_parents(children, {(family.collection, family.slug): desired})
    return diff([*published, *children], [*desired, *relinked])


def _ids_moved(published: list[Item], desired: list[Item]) -> bool:
    """Whether a version that exists already gets another id, so that links to it must follow."""
    ids = {item["properties"].get("version"): item["id"] for item in desired}
    return any(ids.get(item["properties"].get("version")) != item["id"] for item in published)


def _children(services: Services, family: Family) -> list[Item]:
    field = _PARENT_FIELDS[family.collection]
    return [item for item in services.catalog.items(items.LOCAL_MODELS) if item["properties"].get(field) == family.slug]

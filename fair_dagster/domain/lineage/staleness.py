"""Which finetuned models were made from a base model or dataset of which there is a newer version by now.

Newer means promoted later: after a rollback the former version is the newer one. Retraining is left to people.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fair_dagster.domain import items
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.slugs import split_version_id


@dataclass(frozen=True)
class Newest:
    """The active version of a base model or dataset; ``since`` is what its item says of its date."""

    collection: str
    slug: str
    version: str
    since: str


@dataclass(frozen=True)
class Stale:
    """A model in use whose parent, ``made_from`` then, has been superseded."""

    model: str
    made_from: str
    newest: Newest


def parents_of(item: Item) -> dict[tuple[str, str], str]:
    """The versions that a finetuned model says it was made from, by collection and slug."""
    properties = item["properties"]
    return {
        (collection, str(properties[field])): str(properties.get(f"{field}_version", ""))
        for collection, field in items.PARENT_FIELDS.items()
        if item["collection"] == items.LOCAL_MODELS and properties.get(field)
    }


def newest_releases(published: Iterable[Item]) -> dict[tuple[str, str], Newest]:
    """The active releases of all base models and datasets; one that was retired has none."""
    found = {}
    for item in published:
        if item["collection"] in items.PARENT_FIELDS and items.is_active(item):
            properties, slug = item["properties"], split_version_id(item["id"])[0]
            since = next(
                (str(properties[name]) for name in ("updated", "created", "datetime") if name in properties), ""
            )
            newest = Newest(item["collection"], slug, str(properties.get("version", "")), since)
            found[item["collection"], slug] = newest
    return found


def find_superseded(parents: Mapping[tuple[str, str], str], newest: Mapping[tuple[str, str], Newest]) -> list[Newest]:
    """Of ``parents`` (versions by collection and slug) those of which another version is the active one now."""
    found = [(newest.get(key), used) for key, used in parents.items()]
    return [release for release, used in found if release is not None and used and release.version != used]


def stale_models(published: Iterable[Item]) -> list[Stale]:
    """The active finetuned models with a superseded parent, a record a parent, by model."""
    held = list(published)
    newest = newest_releases(held)
    found = []
    for item in held:
        if item["collection"] == items.LOCAL_MODELS and items.is_active(item):
            parents = parents_of(item)
            for release in find_superseded(parents, newest):
                used = parents[release.collection, release.slug]
                found.append(Stale(item["id"], f"{release.slug} v{used}", release))
    return sorted(found, key=lambda stale: (stale.model, stale.newest.collection))

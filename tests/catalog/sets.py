"""Change sets of the kind that publication makes, for tests of the store."""

from typing import Any

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain.items.digests import digest_of
from fair_dagster.domain.items.links import DERIVED_FROM, LATEST, PREDECESSOR, SUCCESSOR, link_to
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet

LOCAL = "local-models"


def key(slug: str, number: int) -> ItemKey:
    return ItemKey(LOCAL, f"{slug}-v{number}")


def item(slug: str, number: int, *, deprecated: bool = False, **properties: Any) -> Item:
    """A version of ``slug`` with version links to its neighbours, as publication writes them."""
    own = key(slug, number)
    links = [link_to(DERIVED_FROM, ItemKey("base-models", "ramp"))]
    if number > 1:
        links.append(link_to(PREDECESSOR, key(slug, number - 1)))
    if deprecated:
        links += [link_to(SUCCESSOR, key(slug, number + 1)), link_to(LATEST, key(slug, number + 1))]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": own.id,
        "collection": LOCAL,
        "geometry": {"type": "Point", "coordinates": [85.5, 27.6]},
        "bbox": [85.5, 27.6, 85.5, 27.6],
        "properties": {
            "datetime": "2026-01-01T00:00:00Z",
            "title": f"{slug} {number}",
            "mlm:name": slug,
            "version": str(number),
            "deprecated": deprecated,
        }
        | properties,
        "links": links,
        "assets": {"runtime": {"href": "ghcr.io/hot/ramp:latest", "roles": ["mlm:training-runtime"]}},
    }


def create(slug: str, number: int = 1, **properties: Any) -> ChangeSet:
    own = key(slug, number)
    return ChangeSet((Change("create", own, "new", item(slug, number, **properties)),), {own: None})


def promotion(store: CatalogStore, slug: str, number: int) -> ChangeSet:
    """Version ``number`` becomes active, the one before is deprecated."""
    new, old = key(slug, number), key(slug, number - 1)
    before = store.get(old)
    if before is None:
        return create(slug, number)
    changes = (
        Change("create", new, "promoted", item(slug, number)),
        Change("update", old, "deprecated", item(slug, number - 1, deprecated=True)),
    )
    return ChangeSet(changes, {new: None, old: digest_of(before)})


def active(store: CatalogStore, slug: str) -> list[str]:
    """The ids of the active items of a family."""
    family = store.family(LOCAL, slug)
    return [one["id"] for one in family if not one["properties"]["deprecated"]]

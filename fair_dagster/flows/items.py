"""Finding items by the names people use, and patching them."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items
from fair_dagster.domain.errors import NotFoundError
from fair_dagster.domain.items import patches
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.domain.publication.drift import edited
from fair_dagster.flows.publication import road
from fair_dagster.flows.services import Services


def find(catalog: CatalogStore, name: str, collections: Sequence[str] = items.COLLECTIONS) -> Item:
    """The item with id ``name``, or the active version of the finetuned model ``name``.

    Raises:
        NotFoundError: nothing has that name; similar names are in the message.
    """
    for collection in collections:
        if item := catalog.get(ItemKey(collection, name)):
            return item
    if items.LOCAL_MODELS in collections:
        family = catalog.family(items.LOCAL_MODELS, name)
        if active := [item for item in family if items.is_active(item)]:
            return active[0]
    known = [item_id for collection in collections for item_id in catalog.ids(collection)]
    raise NotFoundError(repr(name), [_advice(name, known, collections)])


def _advice(name: str, known: Sequence[str], collections: Sequence[str]) -> str:
    where = " or ".join(collections)
    if not known:
        return f"no item {name!r}: {where} is empty"
    close = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {', '.join(close)}?" if close else f"there are {', '.join(sorted(known)[:10])}"
    return f"no item {name!r} in {where}; {hint}"


def at_version(catalog: CatalogStore, collection: str, slug: str, number: int) -> Item | None:
    """The item of version ``number`` of ``slug``, whatever its id is now."""
    family = catalog.family(collection, slug)
    return next((item for item in family if items.number_of(item) == number), None)


def patch(services: Services, name: str, change: Mapping[str, Any]) -> Item:
    """Apply a merge patch to the fields of an item that belong to users, and return the item.

    Raises:
        NotFoundError: no such item.
        RefusedError: the patch touches managed fields or makes the item invalid; the item is as it was.
    """

    def decide() -> ChangeSet:
        before = find(services.catalog, name)
        after = patches.patched(before, change)
        services.validator.require(after)
        return edited(before, after)

    road.apply(services.catalog, decide)
    return find(services.catalog, name)

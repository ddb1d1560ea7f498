"""Finding items: by the names that people use, by version, and as the parents of a finetune."""

import difflib
from collections.abc import Sequence

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items
from fair_dagster.domain.errors import NotFoundError, RefusedError
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.requests import FinetuneRequest


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


def parents(catalog: CatalogStore, request: FinetuneRequest) -> tuple[Item, Item]:
    """The base model item and the dataset item, at the exact versions of the request.

    Raises:
        RefusedError: one of them is not in the catalog any more.
    """
    base_model, dataset = known_parents(catalog, request)
    if base_model is None or dataset is None:
        missing = [
            f"version {number} of {slug!r} is not in {collection}"
            for (collection, slug, number), item in zip(_parent_keys(request), (base_model, dataset), strict=True)
            if item is None
        ]
        raise RefusedError(f"{request.model_name!r}", missing)
    return base_model, dataset


def known_parents(catalog: CatalogStore, request: FinetuneRequest) -> tuple[Item | None, Item | None]:
    """As ``parents``; None for one that is not in the catalog any more."""
    base_model, dataset = (at_version(catalog, *key) for key in _parent_keys(request))
    return base_model, dataset


def _parent_keys(request: FinetuneRequest) -> tuple[tuple[str, str, int], tuple[str, str, int]]:
    return (
        (items.BASE_MODELS, request.base_model, request.base_model_version),
        (items.DATASETS, request.dataset, request.dataset_version),
    )

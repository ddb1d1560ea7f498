"""Items as an API or its database hold them: whole or damaged, and which of them make a family. Pure."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from fair_dagster.catalog.stac_api.layout import StacLayout
from fair_dagster.domain.items.damage import DamagedItem, Scan, item_problem
from fair_dagster.domain.items.digests import digest_of
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.slugs import split_version_id


@dataclass(frozen=True)
class Stored:
    """An item as it is held: in memory's form, or damaged."""

    key: ItemKey
    item: Item | None
    problem: str | None
    raw: bytes

    @property
    def digest(self) -> str:
        """What a precondition compares: of a damaged item its bytes, so that only who has seen them overwrites it."""
        return digest_of(self.item) if self.item is not None else hashlib.sha256(self.raw).hexdigest()


def family_bounds(slug: str) -> tuple[str, str, str]:
    """The plain id of a family, and the half-open range that holds the ids of its versions (and few others)."""
    return slug, f"{slug}-v", f"{slug}-va"


def is_of_family(item_id: str, slug: str) -> bool:
    """Whether an id is ``<slug>`` or ``<slug>-v<n>``."""
    return re.fullmatch(rf"{re.escape(slug)}(-v[0-9]+)?", item_id) is not None


def stored(layout: StacLayout, key: ItemKey, document: Any) -> Stored:
    """An item out of the JSON that the database or the API gives."""
    problem = item_problem(document, key.id)
    if problem is not None:
        return Stored(key, None, problem, orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
    return Stored(key, layout.to_memory(document, key), None, b"")


def scan_of(found: Iterable[Stored]) -> Scan:
    items, damaged = [], []
    for one in sorted(found, key=lambda held: held.key.id):
        if one.item is not None:
            items.append(one.item)
        else:
            damaged.append(DamagedItem(one.key, one.problem or "", one.digest))
    return Scan(tuple(items), tuple(damaged))


def family_of(key: ItemKey) -> ItemKey:
    """The collection and the slug of the family that an item belongs to."""
    return ItemKey(key.collection, split_version_id(key.id)[0])


def by_collection(keys: Iterable[ItemKey]) -> list[tuple[str, list[str]]]:
    """Ids by collection, both sorted: the order in which everybody takes locks."""
    grouped: dict[str, list[str]] = {}
    for key in keys:
        grouped.setdefault(key.collection, []).append(key.id)
    return [(collection, sorted(ids)) for collection, ids in sorted(grouped.items())]

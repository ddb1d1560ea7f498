"""Items through the API alone, one or many, and the searches behind them.

Lists ask for all items of a collection, which the API builds one by one: some milliseconds for ten of them. With the
DSN of the database ``pgstac_items`` takes its place.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from fair_dagster.catalog.stac_api.items import Stored, family_bounds, is_of_family, scan_of, stored
from fair_dagster.catalog.stac_api.layout import StacLayout
from fair_dagster.catalog.stac_api.reader import PAGE_OF_IDS, StacReader
from fair_dagster.domain.items.damage import Scan
from fair_dagster.domain.items.entries import Entry, entry_of
from fair_dagster.domain.items.stac import ItemKey

_IDS_A_SEARCH = 200
_SETTLED = timedelta(seconds=60)
"""``updated`` counts seconds, by the clock of another machine: a younger one may stand for two different contents."""
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_CHEAP_SECONDS = 1.0
_SHARE = 20


@dataclass
class _ItemIndex:
    """What is known of a collection: ``updated`` and entry of each item, and what it cost to list them all."""

    known: dict[str, tuple[str, Entry | None]] = field(default_factory=dict)
    listed_at: float = 0.0
    cost: float = 0.0
    read_at: datetime = _LONG_AGO


class ApiLists:
    """Lists through the API that ``reader`` reads."""

    def __init__(self, reader: StacReader, layout: StacLayout) -> None:
        self._reader = reader
        self._layout = layout
        self._indexes: dict[str, _ItemIndex] = {}

    def item(self, key: ItemKey) -> Stored | None:
        """The item at ``key``; None where there is none."""
        return next(find_items(self._reader, self._layout, key.collection, ids=[key.id]), None)

    def family(self, collection: str, slug: str) -> list[Stored]:
        """The items of a family."""
        found = find_items(self._reader, self._layout, collection, where=in_family(slug))
        return [one for one in found if is_of_family(one.key.id, slug)]

    def ids(self, collection: str) -> list[str]:
        """All ids, sorted."""
        found = self._reader.search(collection, fields=["id", "collection"], limit=PAGE_OF_IDS)
        return sorted(str(item["id"]) for item in found)

    def scan(self, collection: str, slug: str | None = None) -> Scan:
        """All items, or those of a family."""
        return scan_of(
            self.family(collection, slug) if slug is not None else find_items(self._reader, self._layout, collection)
        )

    def entries(self, collection: str) -> list[Entry]:
        """What every item says in short; whole items are read only where ``updated`` has moved.

        Where listing takes long, it is done in a twentieth of the time, and asked in between is only what was updated
        since: a deletion is then noticed later.
        """
        index = self._indexes.setdefault(collection, _ItemIndex())
        began, now = time.monotonic(), datetime.now(UTC)
        if index.cost < _CHEAP_SECONDS or began - index.listed_at > _SHARE * index.cost:
            self._list(collection, index, now)
            index.listed_at, index.cost = began, time.monotonic() - began
        else:
            since = _spelled(index.read_at - _SETTLED)
            where = {"op": ">=", "args": [{"property": "updated"}, since]}
            self._note(index, find_items(self._reader, self._layout, collection, where=where), now)
        index.read_at = now
        return [entry for _, (_, entry) in sorted(index.known.items()) if entry is not None]

    def _list(self, collection: str, index: _ItemIndex, now: datetime) -> None:
        fields = ["id", "collection", "properties.updated"]
        listed = self._reader.search(collection, fields=fields, limit=PAGE_OF_IDS)
        updated = {str(item["id"]): _updated(item) for item in listed}
        index.known = {
            item_id: known for item_id, known in index.known.items() if known[0] and known[0] == updated.get(item_id)
        }
        missing = sorted(updated.keys() - index.known.keys())
        if len(missing) * 2 > len(updated):
            self._note(index, find_items(self._reader, self._layout, collection), now)
            return
        for start in range(0, len(missing), _IDS_A_SEARCH):
            ids = missing[start : start + _IDS_A_SEARCH]
            self._note(index, find_items(self._reader, self._layout, collection, ids=ids), now)

    def _note(self, index: _ItemIndex, found: Iterator[Stored], now: datetime) -> None:
        for one in found:
            updated = _updated(one.item or {})
            stamp = updated if updated and updated < _spelled(now - _SETTLED) else ""
            index.known[one.key.id] = (stamp, entry_of(one.item) if one.item is not None else None)


def find_items(reader: StacReader, layout: StacLayout, collection: str, **search: Any) -> Iterator[Stored]:
    """The items of a search, the damaged ones among them."""
    for document in reader.search(collection, **search):
        yield stored(layout, ItemKey(collection, str(document.get("id"))), document)


def items_at(
    reader: StacReader, layout: StacLayout, by_collection: Sequence[tuple[str, Sequence[str]]]
) -> dict[ItemKey, Stored]:
    """Those of the items that exist."""
    found: dict[ItemKey, Stored] = {}
    for collection, ids in by_collection:
        for start in range(0, len(ids), _IDS_A_SEARCH):
            chunk = ids[start : start + _IDS_A_SEARCH]
            found |= {one.key: one for one in find_items(reader, layout, collection, ids=chunk)}
    return found


def in_family(slug: str) -> dict[str, Any]:
    """A CQL2 filter for the items of a family, and few others: ranges of ids, which need no index but that on ids."""
    plain, first, end = family_bounds(slug)

    def compared(operator: str, item_id: str) -> dict[str, Any]:
        return {"op": operator, "args": [{"property": "id"}, item_id]}

    versions = {"op": "and", "args": [compared(">=", first), compared("<", end)]}
    return {"op": "or", "args": [compared("=", plain), versions]}


def _updated(item: dict[str, Any]) -> str:
    """``updated`` in one spelling; empty where there is none."""
    with suppress(KeyError, TypeError, ValueError):
        return _spelled(datetime.fromisoformat(item["properties"]["updated"]))
    return ""


def _spelled(time: datetime) -> str:
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

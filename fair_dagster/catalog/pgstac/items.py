"""Items in a pgstac, read by SQL: what a write is decided from, and lists of all items, which the API has to build one
by one. Nothing here writes.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson

from fair_dagster.catalog.pgstac.connection import Connection, Pgstac
from fair_dagster.catalog.stac_api.items import Stored, by_collection, family_bounds, is_of_family, scan_of, stored
from fair_dagster.catalog.stac_api.layout import StacLayout
from fair_dagster.domain.items.damage import Scan
from fair_dagster.domain.items.entries import Entry, entry_of
from fair_dagster.domain.items.stac import ItemKey

_ITEM = "SELECT id, content_hydrate(items)::text FROM items WHERE collection = %s"
# As content_hydrate does it, for a collection whose items share nothing but these fields: that is ours, and all of a
# hundred thousand items are read in seconds instead of a minute.
_PLAIN = """
SELECT id, jsonb_strip_nulls(
    jsonb_build_object('id', id, 'geometry', ST_AsGeoJson(geometry, 20)::jsonb, 'collection', collection,
        'type', 'Feature', 'stac_version', base.base_item->'stac_version') || content)::text
FROM items, (SELECT base_item FROM collections WHERE id = %s) base WHERE collection = %s
"""
_IS_PLAIN = """
SELECT 1 FROM collections c WHERE id = %s AND jsonb_typeof(base_item->'assets') IS DISTINCT FROM 'object'
    AND NOT EXISTS (SELECT 1 FROM base_items b WHERE b.collection = c.id)
"""
# A range that every collation reads alike; the unique index on the id serves it, whatever the size of the collection.
_IN_FAMILY = "(id = %s OR (id >= %s AND id < %s))"
_ACTIVE = (
    f"SELECT id FROM items WHERE collection = %s AND {_IN_FAMILY} "  # noqa: S608 - both parts are ours
    "AND coalesce(content->'properties'->'deprecated', 'false') = 'false' ORDER BY id"
)
_CHUNK = 1000


class PgstacItems:
    """Reads of one database."""

    def __init__(self, database: Pgstac, layout: StacLayout) -> None:
        self._database = database
        self._layout = layout
        self._index: dict[str, dict[str, tuple[int, Entry | None]]] = {}

    def item(self, key: ItemKey) -> Stored | None:
        """The item at ``key``; None where there is none."""
        rows = self._rows(f"{_ITEM} AND id = %s", [key.collection, key.id])
        return next(self._stored(key.collection, rows), None)

    def family(self, collection: str, slug: str) -> list[Stored]:
        """The items of a family, of one moment."""
        rows = self._rows(f"{_ITEM} AND {_IN_FAMILY}", [collection, *family_bounds(slug)])
        return list(self._stored(collection, [row for row in rows if is_of_family(row[0], slug)]))

    def ids(self, collection: str) -> list[str]:
        """All ids, sorted."""
        query = "SELECT id FROM items WHERE collection = %s"
        return sorted(row[0] for row in self._rows(query, [collection]))

    def scan(self, collection: str, slug: str | None = None) -> Scan:
        """All items, or those of a family, of one moment."""
        if slug is not None:
            return scan_of(self.family(collection, slug))
        return scan_of(self._stored(collection, self._all(collection)))

    def entries(self, collection: str) -> list[Entry]:
        """What every item says in short. Of an item that no transaction has touched since the last call only the id is
        read.
        """
        known = self._index.get(collection, {})
        stamps = dict(self._rows("SELECT id, xmin::text::bigint FROM items WHERE collection = %s", [collection]))
        now = {item_id: known[item_id] for item_id, stamp in stamps.items() if known.get(item_id, (0,))[0] == stamp}
        for chunk in _chunks([item_id for item_id in stamps if item_id not in now]):
            for one in self._stored(collection, self._all(collection, chunk)):
                # Stamped as it was listed: what has come in between is read again.
                now[one.key.id] = (stamps[one.key.id], entry_of(one.item) if one.item is not None else None)
        self._index[collection] = now
        return [entry for _, (_, entry) in sorted(now.items()) if entry is not None]

    def _all(self, collection: str, ids: Sequence[str] | None = None) -> list[tuple[Any, ...]]:
        """The rows of all items, or of these."""
        chosen, values = (" AND id = ANY(%s)", [list(ids)]) if ids is not None else ("", [])

        def act(connection: Connection, _: bool) -> list[tuple[Any, ...]]:
            if connection.execute(_IS_PLAIN, [collection]).fetchone() is None:
                return connection.execute(_ITEM + chosen, [collection, *values]).fetchall()
            return connection.execute(_PLAIN + chosen, [collection, collection, *values]).fetchall()

        return self._database.run(act)

    def _stored(self, collection: str, rows: Sequence[tuple[str, str]]) -> Iterator[Stored]:
        return (stored(self._layout, ItemKey(collection, item_id), orjson.loads(text)) for item_id, text in rows)

    def _rows(self, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._database.run(lambda connection, _: connection.execute(query, parameters).fetchall())


def lock_items(connection: Connection, layout: StacLayout, keys: Iterable[ItemKey]) -> dict[ItemKey, Stored]:
    """The items at ``keys`` that exist, with their rows locked until the transaction ends."""
    found = {}
    for collection, ids in by_collection(keys):
        rows = connection.execute(f"{_ITEM} AND id = ANY(%s) ORDER BY id FOR UPDATE", [collection, ids]).fetchall()
        for item_id, text in rows:
            key = ItemKey(collection, item_id)
            found[key] = stored(layout, key, orjson.loads(text))
    return found


def active_ids(connection: Connection, collection: str, slug: str) -> list[str]:
    """The ids of the active items of a family."""
    rows = connection.execute(_ACTIVE, [collection, *family_bounds(slug)]).fetchall()
    return [row[0] for row in rows if is_of_family(row[0], slug)]


def _chunks(ids: Sequence[str]) -> Iterator[list[str]]:
    return (list(ids[start : start + _CHUNK]) for start in range(0, len(ids), _CHUNK))

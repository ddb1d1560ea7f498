"""Rows of pgstac, many at a time: read and completed here, made by pypgstac's loader and copied into a partition.

Everything happens in the caller's transaction. What the rows mean is the business of ``pgstac_bulk``.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

import orjson

from fair_dagster.catalog.pgstac.connection import Connection
from fair_dagster.catalog.pgstac.spans import times_of
from fair_dagster.domain.errors import CatalogError
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.moving import Document

if TYPE_CHECKING:
    from pypgstac.load import Loader

_ROWS_AT_ONCE = 200
_COLUMNS = ("id", "collection", "datetime", "end_datetime", "geometry", "content", "private")


class Rows:
    """The items and collections of the pgstac at the other end of ``connection``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def items(self, collection: str) -> Iterator[tuple[ItemKey, Any]]:
        """All items of ``collection`` as they are stored, in no order. What others have stored may be no item."""
        bases = self._bases(collection)
        query = "SELECT id, content::text, ST_AsGeoJSON(geometry, 20) FROM items WHERE collection = %s"
        with self._connection.cursor(name="walk") as cursor:
            cursor.itersize = _ROWS_AT_ONCE
            for row in cursor.execute(query, (collection,)):
                key = ItemKey(collection, row[0])
                yield key, _completed(key, row[1], row[2], bases)

    def item(self, key: ItemKey) -> Any:
        """The item at ``key`` as it is stored; None where there is none."""
        query = "SELECT content::text, ST_AsGeoJSON(geometry, 20) FROM items WHERE collection = %s AND id = %s"
        row = self._connection.execute(query, (key.collection, key.id)).fetchone()
        return _completed(key, row[0], row[1], self._bases(key.collection)) if row else None

    def count(self, collection: str) -> int:
        row = self._connection.execute("SELECT count(*) FROM items WHERE collection = %s", (collection,)).fetchone()
        return int(row[0]) if row else 0

    def document(self, collection: str) -> Document | None:
        row = self._connection.execute("SELECT content::text FROM collections WHERE id = %s", (collection,)).fetchone()
        document: Document | None = orjson.loads(row[0]) if row else None
        return document

    def load_documents(self, documents: Iterable[Document]) -> None:
        from pypgstac.load import Methods

        if found := list(documents):
            self._loader.load_collections(iter(found), Methods.upsert)

    def delete(self, keys: Iterable[ItemKey]) -> None:
        by_collection: dict[str, list[str]] = {}
        for key in keys:
            by_collection.setdefault(key.collection, []).append(key.id)
        for collection, ids in by_collection.items():
            self._connection.execute("DELETE FROM items WHERE collection = %s AND id = ANY(%s)", (collection, ids))

    def load_items(self, items: Iterator[Item]) -> None:
        """Insert ``items``, none of which is there and for which there is room. Those of a collection come together."""
        # Reading and writing items of this size takes half the time with it.
        query = "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
        if (row := self._connection.execute(query).fetchone()) and row[0]:
            self._connection.execute("SET LOCAL default_toast_compression = 'lz4'")
        loader = self._loader
        for collection, own in groupby(items, lambda item: str(item["collection"])):
            self._copy(loader, collection, own)

    def _copy(self, loader: "Loader", collection: str, items: Iterator[Item]) -> None:
        """One stream, so that the server stores rows while others are made.

        pypgstac's own loader makes and sorts thousands of rows before it sends one. In the end it narrows the range of
        the partition to what is there, and keeps readers out from then on.
        """
        from psycopg import sql

        if not self._connection.execute("SELECT 1 FROM collections WHERE id = %s", (collection,)).fetchone():
            raise CatalogError(f"the collection {collection} is gone from the database. Nothing was written; try again")
        # Remembered by the loader, which could not ask while the stream has the connection.
        _, number, *_ = loader.collection_json(collection)
        columns = sql.SQL(", ").join(map(sql.Identifier, _COLUMNS))
        # The one partition of the collection, or the parent of those by year or month.
        table = sql.Identifier(f"_items_{number}")
        copied = sql.SQL("COPY {} ({}) FROM STDIN").format(table, columns)
        with self._connection.cursor() as cursor, cursor.copy(copied) as copy:
            for item in items:
                made = loader.format_item(item)
                copy.write_row([made[name] for name in _COLUMNS])
        query = "SELECT update_partition_stats(partition, true, true) FROM partition_stats WHERE collection = %s"
        self._connection.execute(query, (collection,))

    @property
    def _loader(self) -> "Loader":
        loader: Loader = _loader_class()(_database_class()(connection=self._connection))
        return loader

    def _bases(self, collection: str) -> dict[int | None, Document]:
        """What pgstac takes out of items and keeps once, by the tag that items have for it."""
        query = """
            SELECT id, base_item::text FROM base_items WHERE collection = %(name)s
            UNION ALL SELECT NULL, collection_base_item(%(name)s)::text
        """
        rows = self._connection.execute(query, {"name": collection}).fetchall()
        return {tag: orjson.loads(text) for tag, text in rows if text}


def _completed(key: ItemKey, content: str, geometry: str, bases: dict[int | None, Document]) -> Any:
    from pypgstac.hydration import hydrate

    stored = orjson.loads(content)
    if not isinstance(stored, dict):
        # Nor is null, which would look like no row.
        return [stored]
    tag = stored.pop("pgstac:base_item", None)
    item: Item = {
        "id": key.id,
        "collection": key.collection,
        "geometry": orjson.loads(geometry),
        "type": "Feature",
    } | stored
    return dict(hydrate(bases.get(tag, bases.get(None, {})), item))


@cache
def _database_class() -> Any:
    """pypgstac's database without its pool: a new connection would be another transaction."""
    import psycopg
    from pypgstac.db import PgstacDB

    class Database(PgstacDB):
        def connect(self) -> Connection:
            if self.connection is None or self.connection.closed:
                raise psycopg.OperationalError("the connection was lost")
            return self.connection

        def get_pool(self) -> Any:
            raise psycopg.OperationalError("the connection was lost")

    return Database


@cache
def _loader_class() -> Any:
    from pypgstac.load import Loader

    class SpellingTimes(Loader):
        """pypgstac's loader, which leaves times as they are spelled; PostgreSQL reads fewer spellings than Python."""

        def format_item(self, _item: Any) -> dict[str, Any]:
            row: dict[str, Any] = super().format_item(_item)
            if times := times_of(_item["properties"]):
                row["datetime"], row["end_datetime"] = (time.isoformat() for time in times)
            return row

    return SpellingTimes

"""The documents of collections in a pgstac: made at the first write, widened by writes, recomputed by ``refresh``.

What they say is computed in ``documents``. A write touches a document only when its items say something new, so that
promotions of different families do not wait for each other.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson

from fair_dagster.catalog import documents
from fair_dagster.catalog.documents import CATALOG_UID, Document
from fair_dagster.catalog.pgstac.connection import Connection, Pgstac
from fair_dagster.catalog.pgstac.locks import lock_collection
from fair_dagster.domain.items.damage import item_problem
from fair_dagster.domain.items.fields import COLLECTIONS
from fair_dagster.domain.items.stac import Item

Before = dict[str, str | None]
"""Collections with the identity that they had: empty for none, None where there was no such collection."""

_CHUNK = 2000
_LOCK = 0x66616972
"""Held while collections are made; the number means nothing to others."""


class PgstacCollections:
    """The collection documents of one database."""

    def __init__(self, database: Pgstac) -> None:
        self._database = database

    def uid(self) -> str | None:
        """The identity of the catalog, as its first collection names it; None where there is no such collection, empty
        where it names none.
        """
        found = self._database.run(lambda connection, _: _documents(connection)).get(COLLECTIONS[0])
        return None if found is None else str(found.get(CATALOG_UID, ""))

    def create(self) -> Before:
        """Make the collections that are missing, and give all of them the identity of the catalog.

        Returns:
            What was changed, as it was; empty where everything was there.
        """

        def act(connection: Connection, _: bool) -> Before:
            present = _documents(connection)
            if len(present) == len(COLLECTIONS) and all(row.get(CATALOG_UID) for row in present.values()):
                return {}
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            present = _documents(connection)
            uids = [str(present[name][CATALOG_UID]) for name in COLLECTIONS if present.get(name, {}).get(CATALOG_UID)]
            uid = uids[0] if uids else str(uuid4())
            others = [document for document in present.values() if document.get(CATALOG_UID) != uid]
            for document in others:
                _replace(connection, document | {CATALOG_UID: uid})
            missing = [name for name in COLLECTIONS if name not in present]
            for name in missing:
                document = documents.new_shared_collection(name, uid)
                connection.execute("SELECT create_collection(%s::text::jsonb)", [orjson.dumps(document).decode()])
            return dict.fromkeys(missing) | {
                str(document["id"]): document.get(CATALOG_UID) or "" for document in others
            }

        return self._database.run(act)

    def take_back(self, before: Before) -> None:
        """Undo what ``create`` did by mistake a moment ago; a collection that has got items stays."""

        def act(connection: Connection, _: bool) -> None:
            for name, uid in before.items():
                if uid is not None:
                    _identify(connection, name, uid)
                elif not connection.execute("SELECT 1 FROM items WHERE collection = %s LIMIT 1", [name]).fetchone():
                    connection.execute("SELECT delete_collection(%s)", [name])

        self._database.run(act)

    def refresh(self, name: str) -> Document:
        """Recompute the document from all items and return it; written only when something is different.

        Writers of the collection wait meanwhile: the document would not hold what they have written and not committed.
        """

        def act(connection: Connection, _: bool) -> Document:
            lock_collection(connection, name)
            before = _locked(connection, name) or documents.new_shared_collection(name, "")
            after = _described(connection, before)
            if after != before:
                _replace(connection, after)
            return after

        return self._database.run(act)

    def problems(self, name: str) -> list[str]:
        """The fields of the document that say less than the items do."""

        def act(connection: Connection, _: bool) -> list[str]:
            # Document and items of one moment.
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            before = _documents(connection).get(name)
            return documents.find_narrow_fields(before, _described(connection, before)) if before is not None else []

        return self._database.run(act)


def widen(connection: Connection, items: Sequence[Item]) -> None:
    """Let the documents of their collections hold ``items`` too, within the caller's transaction."""
    for name in sorted({str(item["collection"]) for item in items}):
        own = [item for item in items if item["collection"] == name]
        now = datetime.now(UTC)
        document = _documents(connection).get(name)
        if document is None or documents.widen_document(document, own, now) is None:
            continue
        # Others may have widened it while this one waited.
        document = _locked(connection, name)
        wider = documents.widen_document(document, own, now) if document is not None else None
        if wider is not None:
            _replace(connection, wider)


def _identify(connection: Connection, name: str, uid: str) -> None:
    document = _locked(connection, name)
    if document is not None:
        plain = {field: value for field, value in document.items() if field != CATALOG_UID}
        _replace(connection, plain | {CATALOG_UID: uid} if uid else plain)


def _documents(connection: Connection) -> dict[str, Document]:
    query = "SELECT id, content::text FROM collections WHERE id = ANY(%s)"
    return {row[0]: orjson.loads(row[1]) for row in connection.execute(query, [list(COLLECTIONS)])}


def _locked(connection: Connection, name: str) -> Document | None:
    # A stronger lock would stop the items that are added meanwhile: they refer to the row.
    query = "SELECT content::text FROM collections WHERE id = %s FOR NO KEY UPDATE"
    row = connection.execute(query, [name]).fetchone()
    return orjson.loads(row[0]) if row is not None else None


def _replace(connection: Connection, document: Document) -> None:
    connection.execute("SELECT update_collection(%s::text::jsonb)", [orjson.dumps(document).decode()])


def _described(connection: Connection, document: Document) -> Document:
    def chunks() -> Iterator[tuple[list[Item], int]]:
        for found in _short_items(connection, str(document["id"])):
            readable = [item for item in found if item_problem(item, item["id"]) is None]
            yield readable, len(found) - len(readable)

    return documents.describe_collection(document, chunks(), datetime.now(UTC))


def _short_items(connection: Connection, collection: str) -> Iterator[list[dict[str, Any]]]:
    """Of each item what a document is computed from, a chunk at a time."""
    query = (
        "SELECT jsonb_build_object('id', id, 'bbox', content->'bbox', 'assets', '{}'::jsonb, 'properties', "
        "CASE WHEN jsonb_typeof(content->'properties') = 'object' THEN coalesce((SELECT jsonb_object_agg(key, value) "
        "FROM jsonb_each(content->'properties') WHERE key = ANY(%s)), '{}') END)::text "
        "FROM items WHERE collection = %s"
    )
    with connection.cursor(name="short_items") as cursor:
        cursor.execute(query, [list(documents.READ_FIELDS), collection])
        while rows := cursor.fetchmany(_CHUNK):
            yield [orjson.loads(row[0]) for row in rows]

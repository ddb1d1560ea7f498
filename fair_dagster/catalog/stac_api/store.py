"""The catalog behind a STAC API: read through pystac-client, written through pgstac or the Transaction extension.

With the DSN of the database items are read by SQL too, so that a write is decided from what the database itself holds;
only walking through all whole items goes through the API. What is stored looks like ``stac_layout``; how it is written
is the business of the writers.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import orjson

from fair_dagster.catalog import documents
from fair_dagster.catalog.json.checking import require_applicable
from fair_dagster.catalog.json.layout import collection_problems
from fair_dagster.catalog.stac_api.items import Stored
from fair_dagster.catalog.stac_api.layout import StacLayout, require_key
from fair_dagster.catalog.stac_api.lists import find_items
from fair_dagster.catalog.stac_api.reader import StacReader
from fair_dagster.domain.errors import CatalogError, RefusedError
from fair_dagster.domain.items.damage import REPAIR, DocumentProblem, Scan, collection_problem
from fair_dagster.domain.items.entries import Entry
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import ChangeSet

Document = dict[str, Any]


class Lists(Protocol):
    """Reads of items, one or many."""

    def item(self, key: ItemKey) -> Stored | None: ...

    def family(self, collection: str, slug: str) -> list[Stored]:
        """In no order."""

    def ids(self, collection: str) -> list[str]: ...

    def scan(self, collection: str, slug: str | None = None) -> Scan: ...

    def entries(self, collection: str) -> list[Entry]: ...


class BackendWriter(Protocol):
    """Writes of one kind."""

    def apply(self, changes: ChangeSet, stored: dict[ItemKey, Item]) -> None:
        """Apply checked changes. Of a damaged item a copy is put aside before it is overwritten."""

    def refresh(self, collection: str) -> Document: ...

    def document_problems(self, collection: str) -> list[DocumentProblem]: ...


class StacStore:
    """A ``CatalogStore`` over the API that ``reader`` reads.

    Args:
        reader: of the API.
        layout: addresses and links.
        lists: how items are read.
        writer: how changes are written.
    """

    def __init__(self, reader: StacReader, layout: StacLayout, lists: Lists, writer: BackendWriter) -> None:
        self._reader = reader
        self._layout = layout
        self._lists = lists
        self._writer = writer

    def get(self, key: ItemKey) -> Item | None:
        """See ``CatalogStore.get``."""
        require_key(key)
        found = self._lists.item(key)
        return _readable(found, self._layout) if found is not None else None

    def family(self, collection: str, slug: str) -> list[Item]:
        """See ``CatalogStore.family``."""
        require_collection(collection)
        found = self._lists.family(collection, slug)
        return sorted((_readable(one, self._layout) for one in found), key=lambda item: item["id"])

    def ids(self, collection: str) -> list[str]:
        """See ``CatalogStore.ids``."""
        require_collection(collection)
        return self._lists.ids(collection)

    def items(self, collection: str) -> Iterator[Item]:
        """See ``CatalogStore.items``. Holds a page of them at a time."""
        require_collection(collection)
        return (_readable(one, self._layout) for one in find_items(self._reader, self._layout, collection))

    def entries(self, collection: str) -> list[Entry]:
        """See ``CatalogStore.entries``."""
        require_collection(collection)
        return self._lists.entries(collection)

    def scan(self, collection: str, slug: str | None = None) -> Scan:
        """See ``CatalogStore.scan``."""
        require_collection(collection)
        return self._lists.scan(collection, slug)

    def listed(self, collection: str) -> list[str]:
        """See ``CatalogStore.listed``. Collection documents of an API link to no items."""
        require_collection(collection)
        return []

    def document_problems(self, collection: str) -> list[DocumentProblem]:
        """See ``CatalogStore.document_problems``."""
        require_collection(collection)
        return self._writer.document_problems(collection)

    def apply(self, changes: ChangeSet) -> None:
        """See ``CatalogStore.apply``. Copies of damaged items are put aside on this machine."""
        require_applicable(changes)
        if changes:
            self._writer.apply(changes, self._stored(changes))

    def href(self, key: ItemKey) -> str:
        """The URL of the item."""
        return self._layout.item_href(key)

    def collection(self, collection: str) -> Document:
        """See ``CatalogStore.collection``."""
        require_collection(collection)
        document = self._reader.collection(self._layout, collection)
        if document is None:
            return _shown(documents.new_shared_collection(collection, ""), self._layout)
        if problem := collection_problem(document, collection):
            raise CatalogError(f"{self._layout.collection_href(collection)} is damaged: {problem}. {REPAIR}")
        return _shown(document, self._layout)

    def refresh(self, collection: str) -> Document:
        """See ``CatalogStore.refresh``."""
        require_collection(collection)
        return _shown(self._writer.refresh(collection), self._layout)

    def _stored(self, changes: ChangeSet) -> dict[ItemKey, Item]:
        """The new items as they are stored; refused before anything is written."""
        items, problems = {}, []
        for change in changes.changes:
            if change.item is None:
                continue
            if not isinstance(change.item.get("geometry"), dict):
                problems.append(f"{change.key}: it has no geometry, and a STAC API holds no item without one")
            items[change.key] = self._layout.to_stored(change.item, change.key)
            try:
                orjson.dumps(items[change.key])
            except TypeError as error:
                problems.append(f"{change.key}: it cannot be written as JSON: {error}")
        if problems:
            raise RefusedError("the change of the catalog", problems)
        return items


def require_collection(collection: str) -> None:
    """Raises ``RefusedError`` for a collection that no catalog has."""
    if problems := collection_problems(collection):
        raise RefusedError(f"collection {collection!r}", problems)


def _readable(one: Stored, layout: StacLayout) -> Item:
    if one.item is None:
        raise CatalogError(f"{layout.item_href(one.key)} is damaged: {one.problem}. {REPAIR}")
    return one.item


def _shown(document: Document, layout: StacLayout) -> Document:
    """``document`` as callers see it."""
    plain = {name: value for name, value in document.items() if name != documents.CATALOG_UID}
    return layout.without_served(plain)

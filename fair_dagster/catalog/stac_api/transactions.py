"""Writing through the Transaction extension of a STAC API: request by request, in an order that leaves no family
without an active item at any moment.

There is no lock and no transaction over several requests: what others write between reading and writing is overwritten,
and for the moment between two requests a family may have two active items. With the DSN of the database
``pgstac_writer`` takes its place.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote
from uuid import uuid4

from fair_dagster.catalog import documents
from fair_dagster.catalog.documents import CATALOG_UID, Document
from fair_dagster.catalog.stac_api.conflicts import conflict, conflicts, is_in_effect, keys_of
from fair_dagster.catalog.stac_api.copies import Aside, item_copies
from fair_dagster.catalog.stac_api.http import StacApiError
from fair_dagster.catalog.stac_api.items import Stored, by_collection
from fair_dagster.catalog.stac_api.layout import StacLayout
from fair_dagster.catalog.stac_api.lists import items_at
from fair_dagster.catalog.stac_api.reader import PAGE_OF_IDS, StacReader
from fair_dagster.domain.errors import CatalogError, ConflictError
from fair_dagster.domain.items.damage import DocumentProblem, item_problem
from fair_dagster.domain.items.fields import COLLECTIONS, is_active
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.domain.urls import redact

_METHODS = {"create": "POST", "update": "PUT", "delete": "DELETE"}
_LISTED = 20


class CutOffError(CatalogError):
    """A set of changes that was written in part.

    Attributes:
        written: the changes that are in effect.
        cause: why the next one is not.
    """

    def __init__(self, written: Sequence[Change], due: Sequence[Change], cause: CatalogError) -> None:
        super().__init__(
            f"the change of the catalog was cut off half-way: {cause}. Written: {_format_changes(written)}; "
            f"not written: {_format_changes(due)}. No family is without an active item; the same command again "
            "writes the rest"
        )
        self.written = tuple(written)
        self.cause = cause


class TransactionWriter:
    """Writes the API that ``reader`` reads."""

    def __init__(self, reader: StacReader, layout: StacLayout, aside: Aside) -> None:
        self._reader = reader
        self._layout = layout
        self._aside = aside
        self._prepared = False

    def apply(self, changes: ChangeSet, stored: dict[ItemKey, Item]) -> None:
        """Apply ``changes`` one by one. Of a damaged item a copy is put aside before anything is written.

        What is in effect already is left as it is, so that the same set again completes one that was cut off.

        Raises:
            ConflictError: an item differs from its precondition, or a change does not fit. Nothing was written.
            CutOffError: a change failed after others were written. Says which were and which were not.
            CatalogError: the API does not answer or refuses, or there is no room for a copy. Nothing was written.
        """
        self.prepare()
        found = self._read(keys_of(changes))
        if problems := conflicts(changes, found, resumed=True):
            raise conflict(problems)
        due = [change for change in in_safe_order(changes.changes) if not is_in_effect(change, found)]
        self._aside.keep(item_copies(found[change.key] for change in due if change.key in found))
        self._widen([change.item for change in changes.changes if change.item is not None])
        for number, change in enumerate(due):
            try:
                self._write(change, stored.get(change.key))
            except CatalogError as error:
                if number == 0:
                    raise
                raise CutOffError(due[:number], due[number:], error) from error

    def refresh(self, collection: str) -> Document:
        """Recompute the document of ``collection`` from all its items; written only when something is different."""
        self.prepare()
        before = self._document(collection)
        after = documents.describe_collection(before, self._short_items(collection), datetime.now(UTC))
        if after != before:
            self._replace(after)
        return after

    def document_problems(self, collection: str) -> list[DocumentProblem]:
        """The fields of the collection document that say less than the items."""
        if self._reader.collection(self._layout, collection) is None:
            return []
        before = self._document(collection)
        after = documents.describe_collection(before, self._short_items(collection), datetime.now(UTC))
        fields = documents.find_narrow_fields(before, after)
        return documents.field_problems(collection, fields)

    def prepare(self) -> None:
        """Make sure once that the API can be written, and make the collections that are missing.

        Raises:
            CatalogError: the API has no Transaction extension, or refuses.
        """
        if self._prepared:
            return
        if not self._reader.has_transactions:
            raise CatalogError(
                f"the STAC API at {redact(self._reader.url)} cannot be written: it does not offer the Transaction "
                "extension. Switch it on in the server (ENABLE_TRANSACTIONS_EXTENSIONS=TRUE for stac-fastapi-pgstac), "
                "or set FAIR_PGSTAC_DSN to the database behind it"
            )
        present = {name: self._reader.collection(self._layout, name) for name in COLLECTIONS}
        uids = [str(row[CATALOG_UID]) for row in present.values() if row is not None and row.get(CATALOG_UID)]
        uid = uids[0] if uids else str(uuid4())
        for name in (name for name, document in present.items() if document is None):
            try:
                self._send("POST", "collections", documents.new_shared_collection(name, uid))
            except StacApiError as error:
                # Another process, or an attempt of ours that seemed to fail, has made it.
                if error.status != HTTPStatus.CONFLICT:
                    raise
        self._prepared = True

    def _read(self, keys: Sequence[ItemKey]) -> dict[ItemKey, Stored]:
        return items_at(self._reader, self._layout, by_collection(keys))

    def _write(self, change: Change, item: Item | None) -> None:
        """Send one change. An answer that shows that an earlier attempt got through is a success."""
        path = f"collections/{change.key.collection}/items"
        if change.action != "create":
            path += f"/{quote(change.key.id, safe='')}"
        try:
            self._send(_METHODS[change.action], path, item)
        except StacApiError as error:
            if error.status not in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
                raise
            if is_in_effect(change, self._read([change.key])):
                return
            if change.action == "delete":
                raise
            raced = "exists already" if change.action == "create" else "does not exist any more"
            raise ConflictError(f"{change.key} {raced}; read the catalog again and repeat ({error})") from error

    def _widen(self, items: Sequence[Item]) -> None:
        """Let the documents of their collections hold ``items`` too; a request more only where they do not yet."""
        for name in sorted({str(item["collection"]) for item in items}):
            own = [item for item in items if item["collection"] == name]
            wider = documents.widen_document(self._document(name), own, datetime.now(UTC))
            if wider is not None:
                self._replace(wider)

    def _document(self, name: str) -> Document:
        found = self._reader.collection(self._layout, name)
        if found is None:
            raise CatalogError(f"{self._layout.collection_href(name)} is gone; it was there a moment ago. Repeat")
        if found.get("id") != name:
            raise CatalogError(
                f"{self._layout.collection_href(name)} answers, but not STAC: it is no collection {name!r}"
            )
        return self._layout.without_served(found)

    def _replace(self, document: Document) -> None:
        links = self._layout.links_to_stored(document["links"])
        self._send("PUT", f"collections/{document['id']}", document | {"links": links})

    def _short_items(self, collection: str) -> Iterator[tuple[list[Item], int]]:
        """Of each item what a document is computed from, and how many items are damaged, a chunk at a time."""
        fields = ["id", "collection", "bbox", *(f"properties.{name}" for name in documents.READ_FIELDS)]
        for item in self._reader.search(collection, fields=fields, limit=PAGE_OF_IDS):
            short = item | {"assets": {}, "links": []}
            readable = item_problem(short, str(item.get("id"))) is None
            yield ([short], 0) if readable else ([], 1)

    def _send(self, method: str, path: str, body: Document | None = None) -> None:
        self._reader.http.send(f"{self._reader.url}/{path}", method, parameters=body)


def in_safe_order(changes: Sequence[Change]) -> list[Change]:
    """Changes in an order in which every family has an active item at every moment, and no version is lost on the way.

    What becomes active comes before what ceases to be, and a version that gets another id is there under the new one
    before the old id is given to the next.
    """

    def rank(change: Change) -> int:
        if change.item is None:
            return 4
        return (0 if change.action == "create" else 2) + (0 if is_active(change.item) else 1)

    return sorted(changes, key=rank)


def _format_changes(some: Sequence[Change]) -> str:
    shown = ", ".join(f"{change.action} {change.key}" for change in some[:_LISTED])
    return shown if len(some) <= _LISTED else f"{shown} and {len(some) - _LISTED} more"

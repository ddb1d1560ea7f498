"""A STAC API without its database as a place to move whole catalogs from and to, by the Transaction extension.

Items go in batches where the API takes them (bulk transactions), one by one otherwise. There is no transaction over
several requests: a load that is cut off leaves what was written by then, and the same load again completes it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import islice
from typing import TypeVar

from fair_dagster.catalog import documents
from fair_dagster.catalog.moving import Items
from fair_dagster.catalog.stac_api.copies import Aside, document_copies, item_copies
from fair_dagster.catalog.stac_api.http import StacApiError
from fair_dagster.catalog.stac_api.items import Stored, by_collection
from fair_dagster.catalog.stac_api.layout import StacLayout
from fair_dagster.catalog.stac_api.lists import ApiLists, find_items, items_at
from fair_dagster.catalog.stac_api.reader import StacReader, require_url
from fair_dagster.catalog.stac_api.storable import unstorable, unstorable_document
from fair_dagster.catalog.stac_api.transactions import CutOffError, TransactionWriter
from fair_dagster.domain.errors import CatalogError, FairError
from fair_dagster.domain.items.damage import DamagedItem, collection_problem
from fair_dagster.domain.items.fields import COLLECTIONS
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.moving import Document, Load, key_of_item
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.domain.urls import redact
from fair_dagster.settings import Settings

T = TypeVar("T")
BATCH = 100
"""Items a request: some hundred kilobytes, which servers take without being told to."""
_MAY_HAVE_PASSED = frozenset({500, 502, 503, 504})
_AGAIN = "The same command again writes the rest"
NO_BATCHES = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})


class ApiPlace:
    """The catalog of the API that ``FAIR_CATALOG`` names."""

    def __init__(self, settings: Settings) -> None:
        token = settings.catalog_token.get_secret_value() if settings.catalog_token else ""
        self._reader = StacReader(require_url(settings.catalog), token)
        self._layout = StacLayout(settings.catalog, announced=lambda: self._reader.announced, absolute=True)
        self._aside = Aside(settings.damaged_path)
        self._writer = TransactionWriter(self._reader, self._layout, self._aside)

    @property
    def name(self) -> str:
        return redact(self._reader.url)

    def unstorable(self, item: Item) -> list[str]:
        """See ``Place.unstorable``. What is behind the API is not known; nearly always it is pgstac."""
        return unstorable(item)

    def unstorable_document(self, document: Document) -> list[str]:
        """See ``Place.unstorable_document``."""
        return unstorable_document(document)

    def expect(self, item: Item) -> None:
        """See ``Place.expect``. Nothing has to be ready for it."""

    def read(self, act: Callable[["ApiCatalog"], T]) -> T:
        """See ``Place.read``."""
        return act(ApiCatalog(self._reader, self._layout, self._writer, self._aside))

    def write(self, act: Callable[["ApiCatalog"], T]) -> T:
        """See ``Place.write``. Other writers are not kept out."""
        self._writer.prepare()
        return self.read(act)

    def recompute(self) -> None:
        for name in COLLECTIONS:
            self._writer.refresh(name)


class ApiCatalog:
    """A ``Writer`` over requests."""

    is_atomic = False

    def __init__(self, reader: StacReader, layout: StacLayout, writer: TransactionWriter, aside: Aside) -> None:
        self._reader = reader
        self._layout = layout
        self._writer = writer
        self._aside = aside
        self._takes_batches = True

    @property
    def name(self) -> str:
        return redact(self._reader.url)

    def walk(self, collection: str) -> Iterator[Item | DamagedItem]:
        for one in find_items(self._reader, self._layout, collection):
            yield _read(one)

    def get(self, key: ItemKey) -> Item | None:
        for one in find_items(self._reader, self._layout, key.collection, ids=[key.id]):
            found = _read(one)
            if isinstance(found, DamagedItem):
                raise CatalogError(f"{key} is damaged: {found.problem}")
            return found
        return None

    def count(self, collection: str) -> int:
        return len(ApiLists(self._reader, self._layout).ids(collection))

    def document(self, collection: str) -> Document | None:
        stored = self._reader.collection(self._layout, collection)
        if stored is None:
            return None
        if problem := collection_problem(stored, collection):
            raise CatalogError(f"{self._layout.collection_href(collection)} is damaged: {problem}")
        plain = {name: value for name, value in stored.items() if name != documents.CATALOG_UID}
        links = self._layout.links_to_memory(stored["links"])
        return plain | {"links": [link for link in links if not self._is_of_api(str(link["href"]))]}

    def write(self, load: Load, items: Items) -> None:
        """See ``Writer.write``. Collections first, deletions last: no version is lost on the way."""
        present = {name: self._reader.collection(self._layout, name) for name in load.documents or {}}
        damaged = items_at(self._reader, self._layout, by_collection(load.damaged))
        self._aside.keep([*document_copies(present.items()), *item_copies(damaged.values())])
        done = _BulkDone(load)
        try:
            for name, document in (load.documents or {}).items():
                self._put_document(name, document, str((present[name] or {}).get(documents.CATALOG_UID, "")))
                done.documents += 1
            for batch in _batches(items()):
                for name in COLLECTIONS:
                    own = [item for item in batch if item["collection"] == name]
                    self._put(name, own, load)
                    done.items += len(own)
            for keys in _batches(iter(load.removed)):
                self._writer.apply(ChangeSet(tuple(Change("delete", key, "not in the source") for key in keys)), {})
                done.removed += len(keys)
        except FairError as error:
            if (told := done.told(self.name, error)) is not None:
                raise told from error
            raise
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(f"{done.counts}; the request under way may have been carried out as well. {_AGAIN}")
            raise

    def _is_of_api(self, href: str) -> bool:
        """Whether a link leads to a page of the API itself, which adds such links to what it shows."""
        return any(
            href.startswith(f"{root.rstrip('/')}/") for root in (self._reader.url, self._reader.announced) if root
        )

    def _put_document(self, name: str, document: Document, uid: str) -> None:
        """``uid`` says which catalog this is, and so belongs to the place and not to what is moved."""
        links = self._layout.links_to_stored(document["links"])
        body = document | {"links": links, documents.CATALOG_UID: uid}
        self._reader.http.send(f"{self._reader.url}/collections/{name}", "PUT", parameters=body)

    def _put(self, collection: str, items: Sequence[Item], load: Load) -> None:
        if not items:
            return
        stored = {key_of_item(item): self._layout.to_stored(item, key_of_item(item)) for item in items}
        if self._takes_batches:
            body = {"items": {key.id: item for key, item in stored.items()}, "method": "upsert"}
            url = f"{self._reader.url}/collections/{collection}/bulk_items"
            try:
                self._reader.http.send(url, "POST", parameters=body)
                return
            except StacApiError as error:
                if error.status not in NO_BATCHES:
                    raise
                self._takes_batches = False
        changes = tuple(
            Change("update" if key in load.updated else "create", key, "moved", item)
            for key, item in zip(stored, items, strict=True)
        )
        self._writer.apply(ChangeSet(changes), stored)


@dataclass
class _BulkDone:
    """What of ``load`` is in effect already."""

    load: Load
    documents: int = 0
    items: int = 0
    removed: int = 0

    def told(self, name: str, error: FairError) -> CatalogError | None:
        """``error`` with what was written by then; None where that is nothing, for sure."""
        changes = error.written if isinstance(error, CutOffError) else ()
        removed = self.removed + sum(change.action == "delete" for change in changes)
        items = self.items + sum(change.action != "delete" for change in changes)
        cause = error.cause if isinstance(error, CutOffError) else error
        unsure = isinstance(cause, StacApiError) and (cause.status is None or cause.status in _MAY_HAVE_PASSED)
        if not (unsure or self.documents or items or removed):
            return None
        counts = replace(self, items=items, removed=removed).counts
        maybe = "; the request that failed may have been carried out as well" if unsure else ""
        return CatalogError(f"the load of {name} was cut off: {cause}. {counts}{maybe}. {_AGAIN}")

    @property
    def counts(self) -> str:
        parts = [
            (self.documents, len(self.load.documents or {}), "collection documents and"),
            (self.items, len(self.load.written), "items are written,"),
            (self.removed, len(self.load.removed), "items are removed"),
        ]
        return " ".join(f"{count} of {total} {what}" for count, total, what in parts)


def _read(one: Stored) -> Item | DamagedItem:
    return one.item if one.item is not None else DamagedItem(one.key, one.problem or "", one.digest)


def _batches(every: Iterator[T]) -> Iterator[list[T]]:
    while batch := list(islice(every, BATCH)):
        yield batch

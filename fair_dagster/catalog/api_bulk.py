"""A STAC API without its database as a place to move whole catalogs from and to, by the Transaction extension.

Items go in batches where the API takes them (bulk transactions), one by one otherwise. There is no transaction over
several requests: a load that is cut off leaves what was written by then, and the same load again completes it.
"""

from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from itertools import islice
from typing import TypeVar

from fair_dagster.catalog import documents
from fair_dagster.catalog.bulk import Items
from fair_dagster.catalog.stac_http import StacApiError
from fair_dagster.catalog.stac_items import Stored
from fair_dagster.catalog.stac_layout import StacLayout
from fair_dagster.catalog.stac_lists import ApiLists, found_items
from fair_dagster.catalog.stac_reading import StacReader, require_url
from fair_dagster.catalog.storable import unstorable
from fair_dagster.catalog.transactions import TransactionWriter
from fair_dagster.domain.changes import Change, ChangeSet, Item, ItemKey
from fair_dagster.domain.damage import DamagedItem, collection_problem
from fair_dagster.domain.errors import CatalogError
from fair_dagster.domain.items import COLLECTIONS
from fair_dagster.domain.moving import Document, Load, key_of_item
from fair_dagster.domain.urls import redacted
from fair_dagster.settings import Settings

T = TypeVar("T")
_BATCH = 100
"""Items a request: some hundred kilobytes, which servers take without being told to."""
_NO_BATCHES = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})


class ApiPlace:
    """The catalog of the API that ``FAIR_CATALOG`` names."""

    def __init__(self, settings: Settings) -> None:
        token = settings.catalog_token.get_secret_value() if settings.catalog_token else ""
        self._reader = StacReader(require_url(settings.catalog), token)
        self._layout = StacLayout(settings.catalog, announced=lambda: self._reader.announced, absolute=True)
        self._writer = TransactionWriter(self._reader, self._layout)

    @property
    def name(self) -> str:
        return redacted(self._reader.url)

    def unstorable(self, item: Item) -> list[str]:
        """See ``Place.unstorable``. What is behind the API is not known; nearly always it is pgstac."""
        return unstorable(item)

    def read(self, act: Callable[["ApiCatalog"], T]) -> T:
        """See ``Place.read``."""
        return act(ApiCatalog(self._reader, self._layout, self._writer))

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

    def __init__(self, reader: StacReader, layout: StacLayout, writer: TransactionWriter) -> None:
        self._reader = reader
        self._layout = layout
        self._writer = writer
        self._takes_batches = True

    @property
    def name(self) -> str:
        return redacted(self._reader.url)

    def walk(self, collection: str) -> Iterator[Item | DamagedItem]:
        for one in found_items(self._reader, self._layout, collection):
            yield _read(one)

    def get(self, key: ItemKey) -> Item | None:
        for one in found_items(self._reader, self._layout, key.collection, ids=[key.id]):
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
        for name, document in (load.documents or {}).items():
            present = self._reader.collection(self._layout, name) or {}
            body = document | {documents.CATALOG_UID: present.get(documents.CATALOG_UID, "")}
            self._reader.http.send(f"{self._reader.url}/collections/{name}", "PUT", parameters=body)
        written = 0
        try:
            for batch in _batches(items()):
                for name in COLLECTIONS:
                    self._put(name, [item for item in batch if item["collection"] == name], load)
                written += len(batch)
            self._writer.apply(ChangeSet(tuple(Change("delete", key, "not in the source") for key in load.removed)), {})
        except CatalogError as error:
            if not written:
                raise
            left = len(load.written) - written
            told = f"{written} items were written, {left} were not. The same command again writes the rest"
            raise CatalogError(f"the load of {self.name} was cut off: {error}. {told}") from error

    def _is_of_api(self, href: str) -> bool:
        """Whether a link leads to a page of the API itself, which adds such links to what it shows."""
        return any(
            href.startswith(f"{root.rstrip('/')}/") for root in (self._reader.url, self._reader.announced) if root
        )

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
                if error.status not in _NO_BATCHES:
                    raise
                self._takes_batches = False
        changes = tuple(
            Change("update" if key in load.updated else "create", key, "moved", item)
            for key, item in zip(stored, items, strict=True)
        )
        self._writer.apply(ChangeSet(changes), stored)


def _read(one: Stored) -> Item | DamagedItem:
    return one.item if one.item is not None else DamagedItem(one.key, one.problem or "", one.digest)


def _batches(items: Iterator[Item]) -> Iterator[list[Item]]:
    while batch := list(islice(items, _BATCH)):
        yield batch

"""A pgstac database as a place to move whole catalogs from and to, by pypgstac's own loader.

A load is one transaction that keeps other writers out: it happens whole or not at all, and nobody sees a part of it.
Readers go on meanwhile: partitions are made and widened before it, see ``pgstac_rooms``. How rows are read and written
is the business of ``pgstac_rows``.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pydantic import SecretStr

from fair_dagster.catalog import documents
from fair_dagster.catalog.moving import Items
from fair_dagster.catalog.pgstac.backend import PgstacBackend
from fair_dagster.catalog.pgstac.connection import Connection, Pgstac, require_driver
from fair_dagster.catalog.pgstac.partitions import in_room, make_room, require_room
from fair_dagster.catalog.pgstac.rows import Rows
from fair_dagster.catalog.pgstac.spans import Spans
from fair_dagster.catalog.stac_api.copies import Aside, document_copies, item_copies
from fair_dagster.catalog.stac_api.items import stored
from fair_dagster.catalog.stac_api.layout import StacLayout
from fair_dagster.catalog.stac_api.reader import StacReader, require_url
from fair_dagster.catalog.stac_api.storable import unstorable, unstorable_document
from fair_dagster.domain.errors import CatalogError
from fair_dagster.domain.items.damage import DamagedItem, collection_problem, item_problem
from fair_dagster.domain.items.digests import digest_of
from fair_dagster.domain.items.fields import COLLECTIONS
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.moving import Document, Load, key_of_item
from fair_dagster.domain.urls import redact
from fair_dagster.settings import Settings

T = TypeVar("T")


class PgstacPlace:
    """The catalog of the API that ``FAIR_CATALOG`` names, in the database that ``FAIR_PGSTAC_DSN`` names."""

    def __init__(self, settings: Settings) -> None:
        require_driver()
        token = settings.catalog_token.get_secret_value() if settings.catalog_token else ""
        reader = StacReader(require_url(settings.catalog), token)
        self._settings = settings
        self._layout = StacLayout(settings.catalog, announced=lambda: reader.announced)
        self._database = Pgstac(settings.pgstac_dsn or SecretStr(""))
        self._aside = Aside(settings.damaged_path)
        self._spans = Spans()
        self._backend = PgstacBackend(self._database, reader, self._layout, self._aside)

    @property
    def name(self) -> str:
        return redact(self._settings.catalog)

    def unstorable(self, item: Item) -> list[str]:
        """See ``Place.unstorable``."""
        return unstorable(item)

    def unstorable_document(self, document: Document) -> list[str]:
        """See ``Place.unstorable_document``."""
        return unstorable_document(document)

    def expect(self, item: Item) -> None:
        """See ``Place.expect``."""
        self._spans.add(item)

    def read(self, act: Callable[["PgstacCatalog"], T]) -> T:
        """See ``Place.read``. The catalog as it is at one moment, whoever writes meanwhile."""
        self._backend.require_same()

        def acted(connection: Connection, _: bool) -> T:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return act(self._catalog(connection))

        return self._database.run(acted)

    def write(self, act: Callable[["PgstacCatalog"], T]) -> T:
        """See ``Place.write``. One transaction, after collections and partitions were made where they are missing."""
        self._backend.prepare()

        def acted(connection: Connection, _: bool) -> T:
            # Who reads rows in order to write them waits as well; who only reads does not.
            connection.execute("LOCK TABLE items IN EXCLUSIVE MODE")
            require_room(connection, self._spans)
            return act(self._catalog(connection))

        make_room(self._database, self._spans)
        return in_room(self._database, self._spans, acted)

    def recompute(self) -> None:
        for name in COLLECTIONS:
            self._backend.refresh(name)

    def _catalog(self, connection: Connection) -> "PgstacCatalog":
        return PgstacCatalog(Rows(connection), self._layout, self.name, self._aside)


class PgstacCatalog:
    """A ``Writer`` over the rows of one transaction."""

    is_atomic = True

    def __init__(self, rows: Rows, layout: StacLayout, name: str, aside: Aside) -> None:
        self._rows = rows
        self._layout = layout
        self._name = name
        self._aside = aside

    @property
    def name(self) -> str:
        return self._name

    def walk(self, collection: str) -> Iterator[Item | DamagedItem]:
        for key, found in self._rows.items(collection):
            yield self._read(key, found)

    def get(self, key: ItemKey) -> Item | None:
        stored = self._rows.item(key)
        found = self._read(key, stored) if stored is not None else None
        if isinstance(found, DamagedItem):
            raise CatalogError(f"{key} is damaged: {found.problem}")
        return found

    def count(self, collection: str) -> int:
        return self._rows.count(collection)

    def document(self, collection: str) -> Document | None:
        stored = self._rows.document(collection)
        if stored is None:
            return None
        if problem := collection_problem(stored, collection):
            raise CatalogError(f"the document of the collection {collection} is damaged: {problem}")
        plain = {name: value for name, value in stored.items() if name != documents.CATALOG_UID}
        return plain | {"links": self._layout.links_to_memory(stored["links"])}

    def write(self, load: Load, items: Items) -> None:
        """See ``Writer.write``."""
        present = {name: self._rows.document(name) for name in load.documents or {}}
        damaged = {key: item for key in load.damaged if (item := self._rows.item(key)) is not None}
        copies = item_copies(stored(self._layout, key, item) for key, item in damaged.items())
        self._aside.keep([*document_copies(present.items()), *copies])
        wanted = {}
        for name, document in (load.documents or {}).items():
            # It says which catalog this is, and so belongs to the place and not to what is moved.
            uid = (present[name] or {}).get(documents.CATALOG_UID, "")
            links = self._layout.links_to_stored(document["links"])
            wanted[name] = document | {"links": links, documents.CATALOG_UID: uid}
        self._rows.load_documents(wanted.values())
        self._rows.delete((*load.removed, *load.updated))
        if load.written:
            self._rows.load_items(self._layout.to_stored(item, key_of_item(item)) for item in items())

    def _read(self, key: ItemKey, stored: Any) -> Item | DamagedItem:
        if problem := item_problem(stored, key.id):
            return DamagedItem(key, problem, digest_of(stored))
        return self._layout.to_memory(stored, key)

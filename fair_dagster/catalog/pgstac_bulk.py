"""A pgstac database as a place to move whole catalogs from and to, by pypgstac's own loader.

A load is one transaction that keeps other writers out: it happens whole or not at all, and nobody sees a part of it.
Readers wait for it where pgstac has to make a partition or to widen one. How rows are read and written is the business
of ``pgstac_rows``.
"""

from collections.abc import Callable, Iterator
from typing import LiteralString, TypeVar

from pydantic import SecretStr

from fair_dagster.catalog import documents
from fair_dagster.catalog.bulk import Items
from fair_dagster.catalog.pgstac import Connection, Pgstac, require_driver
from fair_dagster.catalog.pgstac_backend import PgstacBackend
from fair_dagster.catalog.pgstac_rows import Rows
from fair_dagster.catalog.stac_layout import StacLayout
from fair_dagster.catalog.stac_reading import StacReader, require_url
from fair_dagster.catalog.storable import unstorable
from fair_dagster.catalog.store import open_store
from fair_dagster.domain.changes import Item, ItemKey
from fair_dagster.domain.damage import DamagedItem, collection_problem, item_problem
from fair_dagster.domain.digests import digest_of
from fair_dagster.domain.errors import CatalogError
from fair_dagster.domain.items import COLLECTIONS
from fair_dagster.domain.moving import Document, Load, key_of_item
from fair_dagster.domain.urls import redacted
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
        self._backend = PgstacBackend(self._database, reader, self._layout)

    @property
    def name(self) -> str:
        return redacted(self._settings.catalog)

    def unstorable(self, item: Item) -> list[str]:
        """See ``Place.unstorable``."""
        return unstorable(item)

    def read(self, act: Callable[["PgstacCatalog"], T]) -> T:
        """See ``Place.read``. The catalog as it is at one moment, whoever writes meanwhile."""
        return self._run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", act)

    def write(self, act: Callable[["PgstacCatalog"], T]) -> T:
        """See ``Place.write``. One transaction, after collections were made where there were none."""
        self._backend.prepare()
        # Who reads rows in order to write them waits as well; who only reads does not.
        return self._run("LOCK TABLE items IN EXCLUSIVE MODE", act)

    def recompute(self) -> None:
        store = open_store(self._settings)
        for name in COLLECTIONS:
            store.refresh(name)

    def _run(self, first: LiteralString, act: Callable[["PgstacCatalog"], T]) -> T:
        def acted(connection: Connection, _: bool) -> T:
            connection.execute(first)
            return act(PgstacCatalog(Rows(connection), self._layout, self.name))

        return self._database.run(acted)


class PgstacCatalog:
    """A ``Writer`` over the rows of one transaction."""

    is_atomic = True

    def __init__(self, rows: Rows, layout: StacLayout, name: str) -> None:
        self._rows = rows
        self._layout = layout
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def walk(self, collection: str) -> Iterator[Item | DamagedItem]:
        for stored in self._rows.items(collection):
            yield self._read(stored, collection)

    def get(self, key: ItemKey) -> Item | None:
        stored = self._rows.item(key)
        found = self._read(stored, key.collection) if stored is not None else None
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
        wanted = {}
        for name, document in (load.documents or {}).items():
            # It says which catalog this is, and so belongs to the place and not to what is moved.
            uid = (self._rows.document(name) or {}).get(documents.CATALOG_UID, "")
            wanted[name] = document | {documents.CATALOG_UID: uid}
        self._rows.load_documents(wanted.values())
        self._rows.delete((*load.removed, *load.updated))
        if load.written:
            self._rows.load_items(self._layout.to_stored(item, key_of_item(item)) for item in items())

    def _read(self, stored: Item, collection: str) -> Item | DamagedItem:
        item_id = str(stored["id"])
        if problem := item_problem(stored, item_id):
            return DamagedItem(ItemKey(collection, item_id), problem, digest_of(stored))
        return self._layout.to_memory(stored, ItemKey(collection, item_id))

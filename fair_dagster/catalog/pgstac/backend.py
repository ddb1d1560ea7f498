"""The writing half of a store over pgstac: sees to it once that API and database are the same catalog, then writes."""

import time
from typing import Any

from fair_dagster.catalog import documents
from fair_dagster.catalog.documents import CATALOG_UID
from fair_dagster.catalog.pgstac.collections import PgstacCollections
from fair_dagster.catalog.pgstac.connection import Pgstac
from fair_dagster.catalog.pgstac.writer import PgstacWriter
from fair_dagster.catalog.stac_api.copies import Aside
from fair_dagster.catalog.stac_api.layout import StacLayout
from fair_dagster.catalog.stac_api.patience import Patience
from fair_dagster.catalog.stac_api.reader import StacReader
from fair_dagster.domain.errors import CatalogError
from fair_dagster.domain.items.damage import DocumentProblem
from fair_dagster.domain.items.fields import COLLECTIONS
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.domain.urls import redact

# A replica that the API reads from may be behind, and another process may be making the collections.
_UNTIL_ALIKE = Patience(attempts=4, first_wait=0.1)


class PgstacBackend:
    """Writes the database behind the API that ``reader`` reads."""

    def __init__(self, database: Pgstac, reader: StacReader, layout: StacLayout, aside: Aside) -> None:
        self._reader = reader
        self._layout = layout
        self._collections = PgstacCollections(database)
        self._writer = PgstacWriter(database, layout, aside)
        self._confirmed = False

    def apply(self, changes: ChangeSet, stored: dict[ItemKey, Item]) -> None:
        """See ``PgstacWriter.apply``."""
        self.prepare()
        self._writer.apply(changes, stored)

    def refresh(self, collection: str) -> dict[str, Any]:
        """See ``PgstacCollections.refresh``."""
        self.prepare()
        return self._collections.refresh(collection)

    def document_problems(self, collection: str) -> list[DocumentProblem]:
        """The fields of the collection document that say less than the items."""
        fields = self._collections.problems(collection)
        return documents.field_problems(collection, fields)

    def prepare(self) -> None:
        """Make the collections that are missing, and make sure that API and database hold the same catalog. Once.

        Raises:
            CatalogError: they do not. Nothing was written.
        """
        if self._confirmed:
            return
        self.require_same()
        before = self._collections.create()
        if before:
            try:
                self.require_same()
            except CatalogError:
                self._collections.take_back(before)
                raise
        self._confirmed = True

    def require_same(self) -> None:
        """Make sure, without a write, that the API shows the identity that the database holds.

        Raises:
            CatalogError: it does not. Where neither has one, only ``prepare`` finds out.
        """
        waits = _UNTIL_ALIKE.waits()
        while True:
            in_database = self._collections.uid()
            document = self._reader.collection(self._layout, COLLECTIONS[0])
            shown = None if document is None else str(document.get(CATALOG_UID, ""))
            if in_database == shown:
                return
            wait = next(waits, None)
            if wait is None:
                raise CatalogError(
                    f"FAIR_CATALOG ({redact(self._reader.url)}) and FAIR_PGSTAC_DSN are two different catalogs: the "
                    f"API shows {_told(shown)}, the database holds {_told(in_database)}. Name the database behind the "
                    "API; nothing was written"
                )
            time.sleep(wait)


def _told(uid: str | None) -> str:
    if uid is None:
        return f"no collection {COLLECTIONS[0]!r}"
    return f"catalog {uid}" if uid else "a catalog that this program has not made"

"""Puts the parts of a store over a STAC API together, as the settings say. Reads and writes nothing."""

from typing import TYPE_CHECKING

from fair_dagster.catalog.stac_api.copies import Aside
from fair_dagster.catalog.stac_api.layout import StacLayout
from fair_dagster.catalog.stac_api.lists import ApiLists
from fair_dagster.catalog.stac_api.patience import Patience
from fair_dagster.catalog.stac_api.reader import StacReader, require_url
from fair_dagster.catalog.stac_api.store import Lists, StacStore, Writer

if TYPE_CHECKING:
    from fair_dagster.settings import Settings


def stac_store(settings: "Settings", *, patience: Patience | None = None) -> StacStore:
    """The store for the API of ``FAIR_CATALOG``, with the database of ``FAIR_PGSTAC_DSN`` where that is set.

    Args:
        patience: with servers that do not answer; for tests.

    Raises:
        RefusedError: the URL is not http, or what the DSN needs is not installed.
    """
    url = require_url(settings.catalog)
    token = settings.catalog_token.get_secret_value() if settings.catalog_token else ""
    reader = StacReader(url, token, patience=patience)
    aside = Aside(settings.damaged_path)
    lists: Lists
    writer: Writer
    if settings.pgstac_dsn is not None:
        from fair_dagster.catalog.pgstac.backend import PgstacBackend
        from fair_dagster.catalog.pgstac.connection import Pgstac, require_driver
        from fair_dagster.catalog.pgstac.items import PgstacItems

        require_driver()
        layout = StacLayout(url, announced=lambda: reader.announced)
        database = Pgstac(settings.pgstac_dsn, patience=patience)
        lists, writer = PgstacItems(database, layout), PgstacBackend(database, reader, layout, aside)
    else:
        from fair_dagster.catalog.stac_api.transactions import TransactionWriter

        layout = StacLayout(url, announced=lambda: reader.announced, absolute=True)
        lists, writer = ApiLists(reader, layout), TransactionWriter(reader, layout, aside)
    return StacStore(reader, layout, lists, writer)

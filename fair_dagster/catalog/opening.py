"""The catalog that the settings name: which store, or which place of a move. Nothing is read or written here.

A backend is imported when it is chosen, because each needs libraries that the others do not.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from fair_dagster.catalog.moving import Place
from fair_dagster.catalog.store import CatalogStore
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from fair_dagster.catalog.stac_api.patience import Patience
    from fair_dagster.catalog.stac_api.store import BackendWriter, Lists, StacStore


def open_store(settings: Settings) -> CatalogStore:
    """The store that ``FAIR_CATALOG`` names: a folder, made at the first write, or a STAC API, asked at the first use.

    Raises:
        RefusedError: for a URL that is not http, and for a DSN without what it needs.
    """
    from fair_dagster.catalog.json.store import JsonStore

    if "://" not in settings.catalog:
        return JsonStore(settings.catalog_path)
    return stac_store(settings)


def stac_store(settings: Settings, *, patience: "Patience | None" = None) -> "StacStore":
    """The store for the API of ``FAIR_CATALOG``, with the database of ``FAIR_PGSTAC_DSN`` where that is set.

    Args:
        patience: with servers that do not answer; for tests.

    Raises:
        RefusedError: the URL is not http, or what the DSN needs is not installed.
    """
    from fair_dagster.catalog.stac_api.copies import Aside
    from fair_dagster.catalog.stac_api.layout import StacLayout
    from fair_dagster.catalog.stac_api.lists import ApiLists
    from fair_dagster.catalog.stac_api.reader import StacReader, require_url
    from fair_dagster.catalog.stac_api.store import StacStore

    url = require_url(settings.catalog)
    token = settings.catalog_token.get_secret_value() if settings.catalog_token else ""
    reader = StacReader(url, token, patience=patience)
    aside = Aside(settings.damaged_path)
    lists: Lists
    writer: BackendWriter
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


def open_folder(folder: Path) -> Place:
    """The JSON catalog in ``folder``, which need not exist, as a place of a move."""
    from fair_dagster.catalog.json.bulk import JsonPlace

    return JsonPlace(folder)


def open_place(settings: Settings) -> Place:
    """The catalog that ``FAIR_CATALOG`` names: a folder, or a STAC API with or without the database behind it."""
    if "://" not in settings.catalog:
        return open_folder(settings.catalog_path)
    if settings.pgstac_dsn is not None:
        from fair_dagster.catalog.pgstac.bulk import PgstacPlace

        return PgstacPlace(settings)
    from fair_dagster.catalog.stac_api.bulk import ApiPlace

    return ApiPlace(settings)

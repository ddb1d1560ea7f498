"""Asking registries, or what earlier crawls have kept of them. How they are walked belongs to ``oci.crawl``."""

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from fair_dagster.flows.services import Services
from fair_dagster.oci.crawl.index import CrawlIndex
from fair_dagster.oci.crawl.rows import SqliteRows
from fair_dagster.oci.crawl.walking import Event, Target, crawl
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from fair_dagster.oci.registry.registries import Registries


def open_index(settings: Settings) -> CrawlIndex:
    """The index of this installation: in the catalog's database where that has a place for it, else in the home.

    Raises:
        CatalogError: the database does not answer.
    """
    if settings.pgstac_dsn is not None:
        from fair_dagster.catalog.pgstac.crawls import PgstacRows

        shared = PgstacRows(settings.pgstac_dsn)
        if shared.is_shared:
            return CrawlIndex(shared)
        shared.close()
    return CrawlIndex(SqliteRows(settings.cache_path / "oci-index.sqlite"))


def artifacts_of(
    services: Services,
    targets: Sequence[Target],
    *,
    registries: "Registries | None" = None,
    keep: bool = False,
    hidden: bool = False,
) -> Generator[Event]:
    """Walk the targets.

    Args:
        registries: the client for what a person has typed; that of the settings without.
        keep: keep what is found in the index, and ask only for what has changed since.

    Raises:
        StorageError, CatalogError: the index cannot be used.
    """
    client = registries or services.registries
    if not keep:
        yield from crawl(client, targets, hidden=hidden)
        return
    index = open_index(services.settings)
    try:
        yield from index.recorded(crawl(client, targets, known=index.known, hidden=hidden))
    finally:
        index.close()


def kept_of(settings: Settings, targets: Sequence[Target]) -> Generator[Event]:
    """What the index has of the targets, or of everything without. No registry is asked. Errors as ``artifacts_of``."""
    index = open_index(settings)
    try:
        yield from index.all(targets)
    finally:
        index.close()

"""The index of crawls in the database behind the STAC API: one for a whole team.

In the schema ``fair_oci``, which pgstac and the API know nothing of. Who sets up the database makes it: the role that
writes the catalog may make none. What stands in it is the business of ``oci.crawl_index``.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from fair_dagster.catalog.pgstac.connection import Pgstac

if TYPE_CHECKING:
    from fair_dagster.catalog.pgstac.connection import Connection

_EXISTS = "SELECT to_regclass('fair_oci.artifacts') IS NOT NULL"
_IS_SHARED = "SELECT to_regnamespace('fair_oci') IS NOT NULL"
_MAKE = """
CREATE TABLE IF NOT EXISTS fair_oci.artifacts (
    registry text NOT NULL, repository text NOT NULL, tag text NOT NULL, digest text NOT NULL, document text NOT NULL,
    PRIMARY KEY (registry, repository, tag)
)
"""
# In the order of bytes, as everywhere, whatever language the database sorts by.
_PLACES = """
SELECT DISTINCT registry COLLATE "C", repository COLLATE "C" FROM fair_oci.artifacts ORDER BY 1, 2
"""
_DOCUMENTS = "SELECT tag, document FROM fair_oci.artifacts WHERE registry = %s AND repository = %s"
_WRITE = """
INSERT INTO fair_oci.artifacts VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (registry, repository, tag) DO UPDATE SET digest = excluded.digest, document = excluded.document
"""
_REMOVE = "DELETE FROM fair_oci.artifacts WHERE registry = %s AND repository = %s AND tag = ANY(%s)"


class PgstacRows:
    """As ``oci.crawl_index.Rows``, in a table that is made at the first write. Threads may share one.

    Every method raises ``CatalogError`` when the database does not answer or refuses.
    """

    def __init__(self, dsn: SecretStr) -> None:
        self._database = Pgstac(dsn)

    @property
    def is_shared(self) -> bool:
        """Whether the database has the schema."""
        return self._database.run(lambda connection, _: _says(connection, _IS_SHARED))

    def places(self) -> list[tuple[str, str]]:
        return self._read(_PLACES, ())

    def documents(self, place: tuple[str, str]) -> list[tuple[str, str]]:
        return self._read(_DOCUMENTS, place)

    def write(self, rows: Sequence[tuple[str, str, str, str, str]]) -> None:
        # Two that write at once wait for each other's rows in the same order.
        ordered = sorted(rows)

        def act(connection: "Connection", _: bool) -> None:
            if not _says(connection, _EXISTS):
                connection.execute(_MAKE)
            with connection.cursor() as cursor:
                cursor.executemany(_WRITE, ordered)

        self._database.run(act)

    def remove(self, place: tuple[str, str], tags: Sequence[str]) -> None:
        def act(connection: "Connection", _: bool) -> None:
            if _says(connection, _EXISTS):
                connection.execute(_REMOVE, (*place, list(tags)))

        self._database.run(act)

    def close(self) -> None:
        self._database.close()

    def _read(self, query: str, values: tuple[str, ...]) -> list[tuple[Any, Any]]:
        def act(connection: "Connection", _: bool) -> list[tuple[Any, Any]]:
            if not _says(connection, _EXISTS):
                return []
            return [(row[0], row[1]) for row in connection.execute(query.encode(), values)]

        return self._database.run(act)


def _says(connection: "Connection", question: str) -> bool:
    found = connection.execute(question.encode()).fetchone()
    return found is not None and bool(found[0])

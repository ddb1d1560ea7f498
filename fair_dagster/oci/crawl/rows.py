"""The index of crawls in a file of this machine. What stands in it is the business of ``crawl_index``."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fair_dagster.domain.errors import StorageError

_VERSION = 1
_BUSY_SECONDS = 30.0
_SCHEMA = """
CREATE TABLE artifacts (
    registry TEXT NOT NULL, repository TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (registry, repository, tag)
) WITHOUT ROWID
"""


class SqliteRows:
    """As ``crawl_index.Rows``, in a file that is made at the first write. Threads and processes may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def places(self) -> list[tuple[str, str]]:
        if not self._path.exists():
            return []
        with self._used() as connection:
            return connection.execute("SELECT DISTINCT registry, repository FROM artifacts ORDER BY 1, 2").fetchall()

    def documents(self, place: tuple[str, str]) -> list[tuple[str, str]]:
        if not self._path.exists():
            return []
        query = "SELECT tag, document FROM artifacts WHERE registry = ? AND repository = ?"
        with self._used() as connection:
            return connection.execute(query, place).fetchall()

    def write(self, rows: Sequence[tuple[str, str, str, str, str]]) -> None:
        with self._used() as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO artifacts VALUES (?, ?, ?, ?, ?)", rows)

    def remove(self, place: tuple[str, str], tags: Sequence[str]) -> None:
        query = "DELETE FROM artifacts WHERE registry = ? AND repository = ? AND tag = ?"
        with self._used() as connection, connection:
            connection.executemany(query, [(*place, tag) for tag in tags])

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _used(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._opened()
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                raise StorageError(
                    f"the index of registries at {self._path} cannot be used: {error}. It may be deleted: "
                    "`fair-dagster oci crawl --index` makes it anew"
                ) from error

    def _opened(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version != _VERSION:
                # Of another version of this program: what is in it is found again.
                connection.execute("DROP TABLE IF EXISTS artifacts")
                connection.execute(_SCHEMA)
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            connection.commit()
        except BaseException:
            connection.close()
            raise
        return connection

"""What earlier crawls have found, kept on this machine: the answer to the next question without asking registries.

It says what registries said, unverified and by others, so that it stands beside the catalog and not in it (decision
0042). It can be deleted at any time. How registries are walked stands in ``crawl``.
"""

import json
import sqlite3
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fair_dagster.domain.errors import StorageError
from fair_dagster.oci.crawl import Event, Found, Target, Walked
from fair_dagster.oci.references import Reference

_VERSION = 1
_BATCH = 500
_BUSY_SECONDS = 30.0
_SCHEMA = """
CREATE TABLE artifacts (
    registry TEXT NOT NULL, repository TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (registry, repository, tag)
) WITHOUT ROWID
"""
_ADD = "INSERT OR REPLACE INTO artifacts VALUES (?, ?, ?, ?, ?)"
_TAGS = "SELECT tag, document FROM artifacts WHERE registry = ? AND repository = ?"
_REMOVE = "DELETE FROM artifacts WHERE registry = ? AND repository = ? AND tag = ?"

_Place = tuple[str, str]


class CrawlIndex:
    """The artifacts that crawls have found, by their tags. Threads and processes may share the file.

    Every method raises ``StorageError`` when the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def known(self, reference: Reference) -> dict[str, Found]:
        """What is known of a repository, by tag."""
        with self._used() as connection:
            rows = connection.execute(_TAGS, (reference.registry, reference.repository)).fetchall()
        return {tag: _found(document) for tag, document in rows}

    def all(self, targets: Sequence[Target] = ()) -> Iterator[Found]:
        """Everything that is known of the targets, by reference; of all that was ever crawled without targets."""
        if not self._path.exists():
            return
        with self._used() as connection:
            places = connection.execute("SELECT DISTINCT registry, repository FROM artifacts ORDER BY 1, 2").fetchall()
        for registry, repository in places:
            found = self.known(Reference(registry, repository))
            for tag in sorted(found):
                if not targets or any(_covers(target, found[tag]) for target in targets):
                    yield found[tag]

    def recorded(self, events: Iterable[Event]) -> Generator[Event]:
        """The events, while they are written down: what was found, and of a walked repository what is gone."""
        batch: list[Found] = []
        seen: dict[_Place, set[str]] = {}
        try:
            for event in events:
                self._note(event, batch, seen)
                if len(batch) >= _BATCH:
                    self._write(batch)
                yield event
        finally:
            self._write(batch)

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _note(self, event: Event, batch: list[Found], seen: dict[_Place, set[str]]) -> None:
        if isinstance(event, Found):
            if event.reference.tag is not None:
                batch.append(event)
                seen.setdefault(_place(event.reference), set()).add(event.reference.tag)
        elif isinstance(event, Walked):
            self._write(batch)
            self._forget(event.reference, seen.pop(_place(event.reference), set()))
        elif event.reference is not None and event.reference.tag is not None:
            # It may be there; only its registry could not say so.
            seen.setdefault(_place(event.reference), set()).add(event.reference.tag)

    def _write(self, batch: list[Found]) -> None:
        rows = [
            (*_place(one.reference), one.reference.tag, one.digest, json.dumps(one.document, separators=(",", ":")))
            for one in batch
        ]
        if rows:
            with self._used() as connection, connection:
                connection.executemany(_ADD, rows)
        batch.clear()

    def _forget(self, reference: Reference, seen: set[str]) -> None:
        place = _place(reference)
        with self._used() as connection, connection:
            gone = [tag for tag, _ in connection.execute(_TAGS, place) if tag not in seen]
            connection.executemany(_REMOVE, [(*place, tag) for tag in gone])

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


def _found(text: str) -> Found:
    document = json.loads(text)
    return Found(Reference.parse(document["reference"]), document["digest"], document)


def _place(reference: Reference) -> _Place:
    return reference.registry, reference.repository


def _covers(target: Target, found: Found) -> bool:
    if target.reference is None:
        return target.registry == found.reference.registry
    if target.is_whole:
        return _place(target.reference) == _place(found.reference)
    wanted = target.reference
    return replace(wanted, digest=None) == found.reference or (
        _place(wanted) == _place(found.reference) and wanted.digest == found.digest
    )

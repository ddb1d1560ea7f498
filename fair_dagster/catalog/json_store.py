"""The catalog as a folder of JSON files: a static, self-contained STAC catalog that any STAC tool opens.

A write touches the changed items and the documents of their collections, under a file lock and through the
journal. Readers take no lock. What files look like inside is ``layout`` and ``documents``; what a crash
leaves is ``journal``.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import orjson
from filelock import FileLock, Timeout

from fair_dagster.catalog import documents
from fair_dagster.catalog.index import FileIndex
from fair_dagster.catalog.journal import Checkpoint, Journal, no_checkpoint
from fair_dagster.catalog.layout import Layout, key_problems
from fair_dagster.domain.changes import Change, ChangeSet, Item, ItemKey
from fair_dagster.domain.digests import digest_of
from fair_dagster.domain.entries import Entry
from fair_dagster.domain.errors import CatalogError, ConflictError, RefusedError
from fair_dagster.domain.items import COLLECTIONS
from fair_dagster.domain.links import key_of

_LOCK = ".lock"
_READ_ATTEMPTS = 5
T = TypeVar("T")


class JsonStore:
    """A ``CatalogStore`` over the folder ``root``, which the first write creates.

    Args:
        root: folder of the catalog.
        lock_timeout: seconds to wait for another writer.
        checkpoint: called before each step of a write; for tests.
    """

    def __init__(self, root: Path, *, lock_timeout: float = 60.0, checkpoint: Checkpoint = no_checkpoint) -> None:
        self._layout = Layout(root)
        self._journal = Journal(self._layout.root, checkpoint=checkpoint)
        self._lock_timeout = lock_timeout
        self._index = FileIndex()

    @property
    def root(self) -> Path:
        return self._layout.root

    def get(self, key: ItemKey) -> Item | None:
        """See ``CatalogStore.get``."""
        self._recover()
        return self._read(key)

    def family(self, collection: str, slug: str) -> list[Item]:
        """See ``CatalogStore.family``. Never shows a family in the middle of a write."""
        return self._steady(collection, lambda: self._read_family(collection, slug))

    def ids(self, collection: str) -> list[str]:
        """See ``CatalogStore.ids``."""
        self._recover()
        return self._ids_on_disk(collection)

    def items(self, collection: str) -> Iterator[Item]:
        """See ``CatalogStore.items``. An item that is deleted meanwhile is left out."""
        for item_id in self.ids(collection):
            item = self._read(ItemKey(collection, item_id))
            if item is not None:
                yield item

    def entries(self, collection: str) -> list[Entry]:
        """See ``CatalogStore.entries``. Files that have not changed since the last call are not read."""
        self._recover()
        folder = str(self._layout.collection_file(collection).parent)
        names = sorted(_folder_names(Path(folder)))
        return self._index.entries(f"{folder}/{name}/{name}.json" for name in names)

    def href(self, key: ItemKey) -> str:
        """The path of the item's file."""
        return str(self._layout.item_file(key))

    def collection(self, collection: str) -> dict[str, Any]:
        """See ``CatalogStore.collection``."""
        self._recover()
        return documents.without_structure(self._read_collection(collection))

    def apply(self, changes: ChangeSet) -> None:
        """See ``CatalogStore.apply``."""
        _check(changes)
        if not changes:
            return
        with self._lock():
            self._journal.recover()
            self._check_conflicts(changes)
            writes: dict[Path, bytes] = {}
            deletes = []
            for change in changes.changes:
                path = self._layout.item_file(change.key)
                if change.item is None:
                    deletes.append(path)
                else:
                    writes[path] = _dumped(self._layout.to_disk(change.item, change.key), path)
            writes |= self._changed_documents(changes.changes)
            self._journal.commit(writes, deletes)

    def refresh(self, collection: str) -> dict[str, Any]:
        """See ``CatalogStore.refresh``. Writes only when something is different."""
        with self._lock():
            self._journal.recover()
            before = self._read_collection(collection)
            found = [item for id_ in self._ids_on_disk(collection) if (item := self._read(ItemKey(collection, id_)))]
            after = documents.recomputed(before, found, self._layout, datetime.now(UTC))
            path = self._layout.collection_file(collection)
            if after != before or not path.exists():
                self._journal.commit(self._missing_documents() | {path: _dumped(after, path)})
            return documents.without_structure(after)

    # Reading

    def _read(self, key: ItemKey) -> Item | None:
        stored = _loaded(self._layout.item_file(key))
        return self._layout.to_memory(stored, key) if stored is not None else None

    def _read_family(self, collection: str, slug: str) -> list[Item]:
        pattern = re.compile(rf"{re.escape(slug)}(-v[0-9]+)?")
        folder = self._layout.collection_file(collection).parent
        names = sorted(name for name in _folder_names(folder) if pattern.fullmatch(name))
        return [item for name in names if (item := self._read(ItemKey(collection, name))) is not None]

    def _read_collection(self, collection: str) -> dict[str, Any]:
        document = _loaded(self._layout.collection_file(collection))
        return document if document is not None else documents.new_collection(collection)

    def _ids_on_disk(self, collection: str) -> list[str]:
        folder = self._layout.collection_file(collection).parent
        return [name for name in sorted(_folder_names(folder)) if (folder / name / f"{name}.json").is_file()]

    def _steady(self, collection: str, read: Callable[[], T]) -> T:
        """What ``read`` returns while no write went on: every write replaces the collection document."""
        for _ in range(_READ_ATTEMPTS):
            self._recover()
            before = self._stamp(collection)
            result = read()
            if not self._journal.pending and self._stamp(collection) == before:
                return result
        with self._lock():
            self._journal.recover()
            return read()

    def _stamp(self, collection: str) -> tuple[int, int] | None:
        try:
            status = self._layout.collection_file(collection).stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _recover(self) -> None:
        if self._journal.pending:
            # A writer is at work, and the lock is waited for; or one was killed, and its work is completed.
            with self._lock():
                self._journal.recover()

    # Writing

    @contextmanager
    def _lock(self) -> Iterator[None]:
        lock = FileLock(self.root / _LOCK, timeout=self._lock_timeout, poll_interval=0.005)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise CatalogError(
                f"another process has been writing the catalog at {self.root} for {self._lock_timeout:g} s; "
                "try again, or look for a process that hangs"
            ) from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise CatalogError(f"the catalog at {self.root} could not be written: {reason}") from error
        try:
            yield
        finally:
            lock.release()

    def _check_conflicts(self, changes: ChangeSet) -> None:
        problems = []
        for key, expected in changes.preconditions.items():
            item = self._read(key)
            if (digest_of(item) if item is not None else None) != expected:
                problems.append(f"{key} has been changed since it was read")
        for change in changes.changes:
            exists = self._layout.item_file(change.key).exists()
            if change.action == "create" and exists:
                problems.append(f"{change.key} exists already and cannot be created")
            if change.action == "update" and not exists:
                problems.append(f"{change.key} does not exist and cannot be updated")
        if problems:
            raise ConflictError(f"{'; '.join(problems)}. Read the catalog again and repeat; nothing was written")

    def _changed_documents(self, changes: tuple[Change, ...]) -> dict[Path, bytes]:
        writes = self._missing_documents()
        for collection in sorted({change.key.collection for change in changes}):
            own = [change for change in changes if change.key.collection == collection]
            document = self._read_collection(collection)
            path = self._layout.collection_file(collection)
            after = documents.after_changes(document, own, self._layout, datetime.now(UTC))
            writes[path] = _dumped(after, path)
        return writes

    def _missing_documents(self) -> dict[Path, bytes]:
        """The root and the collection documents that are not there yet."""
        writes = {}
        if not self._layout.catalog_file.exists():
            writes[self._layout.catalog_file] = _dumped(documents.new_catalog(), self._layout.catalog_file)
        for name in COLLECTIONS:
            path = self._layout.collection_file(name)
            if not path.exists():
                writes[path] = _dumped(documents.new_collection(name), path)
        return writes


def _check(changes: ChangeSet) -> None:
    """Refuse what is wrong whatever the catalog holds."""
    problems = []
    seen: set[ItemKey] = set()
    for change in changes.changes:
        problems += key_problems(change.key)
        if change.key in seen:
            problems.append(f"{change.key} is changed twice")
        seen.add(change.key)
        if (change.item is None) != (change.action == "delete"):
            given = "without" if change.item is None else "with"
            problems.append(f"{change.key}: a {change.action} comes {given} an item")
        if change.item is not None:
            problems += _item_problems(change.item, change.key)
    if problems:
        raise RefusedError("the change of the catalog", problems)


def _item_problems(item: Item, key: ItemKey) -> list[str]:
    problems = []
    if item.get("id") != key.id or item.get("collection", key.collection) != key.collection:
        problems.append(f"{key}: the item calls itself {item.get('collection')}/{item.get('id')}")
    if not isinstance(item.get("properties"), dict):
        problems.append(f"{key}: the item has no properties")
    for link in item.get("links", []):
        target = key_of(str(link.get("href", "")))
        problems += [f"{key}: link {link.get('rel')!r}: {p}" for p in (key_problems(target) if target else [])]
    return problems


def _folder_names(folder: Path) -> list[str]:
    try:
        # Paths of ten thousand names would cost more than the rest of a write.
        return [name for name in os.listdir(folder) if not name.endswith(".json")]  # noqa: PTH208
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CatalogError(f"{folder} could not be read: {error.strerror or error}") from error


def _loaded(path: Path) -> dict[str, Any] | None:
    try:
        document = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CatalogError(f"{path} could not be read: {error.strerror or error}") from error
    except orjson.JSONDecodeError as error:
        raise CatalogError(f"{path} is damaged: {error}. Restore it from a copy, or publish it again") from error
    if not isinstance(document, dict):
        raise CatalogError(f"{path} is damaged: it holds no JSON object. Restore it from a copy, or publish it again")
    return document


def _dumped(document: dict[str, Any], path: Path) -> bytes:
    try:
        return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    except TypeError as error:
        raise RefusedError(f"the content of {path.name}", [f"it cannot be written as JSON: {error}"]) from error

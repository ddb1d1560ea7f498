"""The catalog as a folder of JSON files: a static, self-contained STAC catalog that any STAC tool opens.

A write touches the changed items and the documents of their collections, under a file lock and through the
journal. Readers take no lock. What files look like inside is ``layout`` and ``documents``; what a crash
leaves is ``journal``.
"""

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from fair_dagster.catalog import documents
from fair_dagster.catalog.json.checking import require_applicable
from fair_dagster.catalog.json.index import FileIndex
from fair_dagster.catalog.json.journal import Checkpoint, Journal, no_checkpoint
from fair_dagster.catalog.json.layout import Layout
from fair_dagster.catalog.json.locking import LOCK_SECONDS, hold_lock
from fair_dagster.catalog.json.reading import DamagedFileError, folder_names, load_document
from fair_dagster.catalog.json.upkeep import aside, catalog_upkeep, collection_upkeep, dump_document
from fair_dagster.domain.errors import ConflictError
from fair_dagster.domain.items.damage import DamagedItem, DocumentProblem, Scan, collection_problem, item_problem
from fair_dagster.domain.items.digests import digest_of
from fair_dagster.domain.items.entries import Entry
from fair_dagster.domain.items.fields import COLLECTIONS
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet

_READ_ATTEMPTS = 5
_LOG = logging.getLogger(__name__)
T = TypeVar("T")


class JsonStore:
    """A ``CatalogStore`` over the folder ``root``, which the first write creates.

    Args:
        root: folder of the catalog.
        lock_timeout: seconds to wait for another writer.
        checkpoint: called before each step of a write; for tests.
    """

    def __init__(
        self, root: Path, *, lock_timeout: float = LOCK_SECONDS, checkpoint: Checkpoint = no_checkpoint
    ) -> None:
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
        names = sorted(folder_names(Path(folder)))
        return self._index.entries(f"{folder}/{name}/{name}.json" for name in names)

    def href(self, key: ItemKey) -> str:
        """The path of the item's file."""
        return str(self._layout.item_file(key))

    def collection(self, collection: str) -> dict[str, Any]:
        """See ``CatalogStore.collection``."""
        self._recover()
        path = self._layout.collection_file(collection)
        document = load_document(path, partial(collection_problem, name=collection))
        return documents.without_structure(document if document is not None else documents.new_collection(collection))

    def scan(self, collection: str, slug: str | None = None) -> Scan:
        """See ``CatalogStore.scan``. Never shows a family in the middle of a write."""
        if slug is not None:
            return self._steady(collection, lambda: self._scanned(collection, self._family_ids(collection, slug)))
        self._recover()
        return self._scan(collection)

    def listed(self, collection: str) -> list[str]:
        """See ``CatalogStore.listed``."""
        path = self._layout.collection_file(collection)
        with suppress(DamagedFileError):
            document = load_document(path, partial(collection_problem, name=collection)) or {"links": []}
            return sorted({Path(link["href"]).stem for link in document["links"] if link["rel"] == "item"})
        return []

    def document_problems(self, collection: str) -> list[DocumentProblem]:
        """See ``CatalogStore.document_problems``."""

        def read() -> list[DocumentProblem]:
            if not self.root.exists():
                return []
            upkeep = collection_upkeep(self._layout, collection, self._scan(collection))
            return [*catalog_upkeep(self._layout).problems, *upkeep.problems]

        return self._steady(collection, read)

    def apply(self, changes: ChangeSet) -> None:
        """See ``CatalogStore.apply``."""
        require_applicable(changes)
        if not changes:
            return
        with self._lock():
            self._journal.recover()
            self._check_conflicts(changes)
            # A change without a precondition may meet a file that nobody has read.
            writes = self._aside(change.key for change in changes.changes)
            deletes = []
            for change in changes.changes:
                path = self._layout.item_file(change.key)
                if change.item is None:
                    deletes.append(path)
                else:
                    writes[path] = dump_document(self._layout.to_disk(change.item, change.key), path)
            writes |= self._changed_documents(changes.changes)
            self._journal.commit(writes, deletes)
        for change in changes.changes:
            _LOG.info("%s %s", "deleted" if change.item is None else "wrote", change.key)

    def refresh(self, collection: str) -> dict[str, Any]:
        """See ``CatalogStore.refresh``. Writes only when something is different."""
        with self._lock():
            self._journal.recover()
            upkeep = collection_upkeep(self._layout, collection, self._scan(collection))
            writes = catalog_upkeep(self._layout).writes | upkeep.writes
            if writes:
                self._journal.commit(self._missing_documents() | writes)
            return documents.without_structure(upkeep.document)

    # Reading

    def _read(self, key: ItemKey) -> Item | None:
        stored = load_document(self._layout.item_file(key), partial(item_problem, item_id=key.id))
        return self._layout.to_memory(stored, key) if stored is not None else None

    def _scan(self, collection: str) -> Scan:
        return self._scanned(collection, self._ids_on_disk(collection))

    def _scanned(self, collection: str, ids: Iterable[str]) -> Scan:
        found, damaged = [], []
        for item_id in ids:
            key = ItemKey(collection, item_id)
            try:
                if (item := self._read(key)) is not None:
                    found.append(item)
            except DamagedFileError as error:
                damaged.append(DamagedItem(key, error.problem, error.digest))
        return Scan(tuple(found), tuple(damaged))

    def _read_family(self, collection: str, slug: str) -> list[Item]:
        ids = self._family_ids(collection, slug)
        return [item for name in ids if (item := self._read(ItemKey(collection, name))) is not None]

    def _family_ids(self, collection: str, slug: str) -> list[str]:
        pattern = re.compile(rf"{re.escape(slug)}(-v[0-9]+)?")
        folder = self._layout.collection_file(collection).parent
        return sorted(name for name in folder_names(folder) if pattern.fullmatch(name))

    def _ids_on_disk(self, collection: str) -> list[str]:
        folder = self._layout.collection_file(collection).parent
        # Ten thousand paths as objects would cost more than looking at the files.
        is_item = os.path.isfile
        return [name for name in sorted(folder_names(folder)) if is_item(f"{folder}/{name}/{name}.json")]

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

    def _lock(self) -> AbstractContextManager[None]:
        return hold_lock(self.root, self._lock_timeout)

    def _check_conflicts(self, changes: ChangeSet) -> None:
        problems = []
        for key, expected in changes.preconditions.items():
            if self._digest(key) != expected:
                problems.append(f"{key} has been changed since it was read")
        for change in changes.changes:
            exists = self._layout.item_file(change.key).exists()
            if change.action == "create" and exists:
                problems.append(f"{change.key} exists already and cannot be created")
            if change.action == "update" and not exists:
                problems.append(f"{change.key} does not exist and cannot be updated")
        if problems:
            raise ConflictError(f"{'; '.join(problems)}. Read the catalog again and repeat; nothing was written")

    def _digest(self, key: ItemKey) -> str | None:
        """What a precondition compares: of a damaged item its bytes, so that only who has seen them overwrites it."""
        try:
            item = self._read(key)
        except DamagedFileError as error:
            return error.digest
        return digest_of(item) if item is not None else None

    def _aside(self, keys: Iterable[ItemKey]) -> dict[Path, bytes]:
        """Copies of the damaged ones among the items that are about to be overwritten."""
        copies: dict[Path, bytes] = {}
        for key in keys:
            try:
                self._read(key)
            except DamagedFileError as error:
                copies |= aside(self._layout, self._layout.item_file(key), error.digest)
        return copies

    def _changed_documents(self, changes: tuple[Change, ...]) -> dict[Path, bytes]:
        writes = self._missing_documents()
        for collection in sorted({change.key.collection for change in changes}):
            own = [change for change in changes if change.key.collection == collection]
            path = self._layout.collection_file(collection)
            document, copies = self._usable_document(collection)
            after = documents.after_changes(document, own, datetime.now(UTC))
            writes |= copies | {path: dump_document(after, path)}
        return writes

    def _missing_documents(self) -> dict[Path, bytes]:
        """The root and the collection documents that are not there yet."""
        writes = {}
        if not self._layout.catalog_file.exists():
            writes[self._layout.catalog_file] = dump_document(documents.new_catalog(), self._layout.catalog_file)
        for name in COLLECTIONS:
            path = self._layout.collection_file(name)
            if not path.exists():
                writes[path] = dump_document(self._usable_document(name)[0], path)
        return writes

    def _usable_document(self, collection: str) -> tuple[documents.Document, dict[Path, bytes]]:
        """The collection document; one that is gone or damaged is made anew from the items, and a copy put aside."""
        with suppress(DamagedFileError):
            path = self._layout.collection_file(collection)
            if (document := load_document(path, partial(collection_problem, name=collection))) is not None:
                return document, {}
        upkeep = collection_upkeep(self._layout, collection, self._scan(collection))
        return upkeep.document, upkeep.writes

"""A JSON catalog as a place to move whole catalogs from and to.

A load is one write through the journal, so that a kill or a full disk leaves the catalog as it was. Items are
staged one after the other and never held in memory all at once.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from fair_dagster.catalog import documents
from fair_dagster.catalog.documents import Document
from fair_dagster.catalog.json.journal import Checkpoint, Journal, no_checkpoint
from fair_dagster.catalog.json.layout import Layout
from fair_dagster.catalog.json.locking import hold_lock
from fair_dagster.catalog.json.reading import DamagedFileError, load_document
from fair_dagster.catalog.json.store import JsonStore
from fair_dagster.catalog.json.upkeep import aside, catalog_upkeep, dump_document
from fair_dagster.catalog.moving import Items
from fair_dagster.domain.items.damage import DamagedItem, collection_problem
from fair_dagster.domain.items.fields import COLLECTIONS
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.moving import Load, key_of_item

T = TypeVar("T")
_Write = tuple[Path, bytes]


class JsonPlace:
    """The JSON catalog at ``root``; a load creates the folder.

    Args:
        checkpoint: called before each step of a write; for tests.
    """

    def __init__(self, root: Path, *, checkpoint: Checkpoint = no_checkpoint) -> None:
        self._layout = Layout(root)
        self._checkpoint = checkpoint

    @property
    def name(self) -> str:
        return str(self._layout.root)

    def unstorable(self, item: Item) -> list[str]:
        return []

    def unstorable_document(self, document: Document) -> list[str]:
        return []

    def expect(self, item: Item) -> None:
        """See ``Place.expect``. Nothing has to be ready for it."""

    def read(self, act: Callable[["JsonCatalog"], T]) -> T:
        """See ``Place.read``."""
        return act(JsonCatalog(self._layout, self._checkpoint))

    def write(self, act: Callable[["JsonCatalog"], T]) -> T:
        """See ``Place.write``. A write that was cut off before is completed first."""
        with hold_lock(self._layout.root):
            Journal(self._layout.root).recover()
            return act(JsonCatalog(self._layout, self._checkpoint))

    def recompute(self) -> None:
        store = JsonStore(self._layout.root)
        for name in COLLECTIONS:
            store.refresh(name)


class JsonCatalog:
    """A ``Writer`` over the files of ``layout``; the caller holds the lock around ``write``."""

    is_atomic = True

    def __init__(self, layout: Layout, checkpoint: Checkpoint) -> None:
        self._layout = layout
        self._checkpoint = checkpoint
        self._store = JsonStore(layout.root)

    @property
    def name(self) -> str:
        return str(self._layout.root)

    def walk(self, collection: str) -> Iterator[Item | DamagedItem]:
        for item_id in self._store.ids(collection):
            key = ItemKey(collection, item_id)
            try:
                found = self._store.get(key)
            except DamagedFileError as error:
                yield DamagedItem(key, error.problem, error.digest)
                continue
            if found is not None:
                yield found

    def get(self, key: ItemKey) -> Item | None:
        return self._store.get(key)

    def count(self, collection: str) -> int:
        return len(self._store.ids(collection))

    def document(self, collection: str) -> Document | None:
        stored = load_document(self._layout.collection_file(collection), partial(collection_problem, name=collection))
        return documents.without_structure(stored) if stored is not None else None

    def write(self, load: Load, items: Items) -> None:
        """See ``Writer.write``. Of what is damaged and is overwritten a copy is put aside."""
        removed = [self._layout.item_file(key) for key in load.removed]
        journal = Journal(self._layout.root, checkpoint=self._checkpoint)
        journal.commit(self._writes(load, items), removed)

    def _writes(self, load: Load, items: Items) -> Iterator[_Write]:
        """Contents by path, made one at a time: first copies of what is damaged, then items, documents last."""
        yield from self._copies(load)
        titles: dict[ItemKey, Item] = {}
        for item in items():
            key = key_of_item(item)
            path = self._layout.item_file(key)
            titles[key] = {"properties": {"title": item["properties"].get("title")}}
            yield path, dump_document(self._layout.to_disk(item, key), path)
        yield from catalog_upkeep(self._layout).writes.items()
        for name, document in self._documents(load).items():
            path = self._layout.collection_file(name)
            yield path, dump_document(self._linked(name, document, load, titles), path)

    def _documents(self, load: Load) -> dict[str, Document]:
        """The documents to write: those of the load, and equal ones that have to link to other items."""
        if load.documents is None:
            return {}
        touched = {key.collection for key in (*load.created, *load.removed)} - load.documents.keys()
        kept = {name: document for name in sorted(touched) if (document := self.document(name)) is not None}
        return kept | dict(load.documents)

    def _linked(self, name: str, document: Document, load: Load, written: dict[ItemKey, Item]) -> Document:
        """``document`` with structural links, and links to all items that are there in the end."""
        gone = frozenset(load.removed)
        links = {key: documents.item_link(item, key) for key, item in written.items() if key.collection == name}
        for found in self.walk(name):
            key = found.key if isinstance(found, DamagedItem) else key_of_item(found)
            if key not in links and key not in gone:
                links[key] = documents.item_link({} if isinstance(found, DamagedItem) else found, key)
        own = documents.without_structure(document)["links"]
        item_links = [links[key] for key in sorted(links, key=str)]
        return document | {"links": [*documents.structure(), *own, *item_links]}

    def _copies(self, load: Load) -> Iterator[_Write]:
        reads: list[tuple[Path, Callable[[], object]]] = [
            (self._layout.item_file(key), partial(self._store.get, key)) for key in (*load.updated, *load.removed)
        ]
        reads += [(self._layout.collection_file(name), partial(self.document, name)) for name in load.documents or {}]
        for path, read in reads:
            try:
                read()
            except DamagedFileError as error:
                yield from aside(self._layout, path, error.digest).items()

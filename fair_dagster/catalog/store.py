"""The protocol of a catalog store.

Callers hold items in the form of ``domain.publication.changes.Item`` and never learn how a store keeps them. The
backends are ``json``, ``stac_api`` and ``pgstac``; ``opening`` chooses one.
"""

from collections.abc import Iterator
from typing import Any, Protocol

from fair_dagster.domain.items.damage import DocumentProblem, Scan
from fair_dagster.domain.items.entries import Entry
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import ChangeSet


class CatalogStore(Protocol):
    """Reads items, applies change sets. A catalog that does not exist yet reads as an empty one.

    Every method raises ``CatalogError`` when the catalog cannot be read or written, and ``RefusedError``
    for a collection or id that no catalog could hold.
    """

    def get(self, key: ItemKey) -> Item | None:
        """The item at ``key``; None where there is none."""

    def family(self, collection: str, slug: str) -> list[Item]:
        """The items ``<slug>`` and ``<slug>-v<n>``, by id. Reads no other item."""

    def ids(self, collection: str) -> list[str]:
        """The ids of all items of ``collection``, sorted. Reads no item."""

    def items(self, collection: str) -> Iterator[Item]:
        """All items of ``collection`` by id. Each is whole; a writer may come in between two of them."""

    def entries(self, collection: str) -> list[Entry]:
        """What every item of ``collection`` says of itself in short, by id. Cheap to ask again and again.

        A damaged item is left out, so that a missing entry is no sign of a missing item.
        """

    def scan(self, collection: str, slug: str | None = None) -> Scan:
        """All items of ``collection``, or of the family ``slug`` as in ``family``, the damaged ones apart."""

    def listed(self, collection: str) -> list[str]:
        """The ids that the collection document links to, sorted. One that has no item was lost outside this program.

        Empty where the document is gone or damaged.
        """

    def document_problems(self, collection: str) -> list[DocumentProblem]:
        """How the documents of the catalog and of ``collection`` differ from what ``refresh`` would write."""

    def apply(self, changes: ChangeSet) -> None:
        """Apply all of ``changes`` or nothing. Of a damaged item that is overwritten a copy is put aside.

        Raises:
            ConflictError: an item differs from its precondition, or a change does not fit what is there.
        """

    def href(self, key: ItemKey) -> str:
        """Where people find the item: a file path or a URL. The item need not exist."""

    def collection(self, collection: str) -> dict[str, Any]:
        """The collection document without its structural links."""

    def refresh(self, collection: str) -> dict[str, Any]:
        """Recompute extent, summaries, keywords and item count from all items; return the document."""

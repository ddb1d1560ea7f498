"""The protocols of places that whole catalogs are moved from and to.

A place reads its items one after the other and takes a load as one write. ``domain.moving`` decides what is to be
written. ``store`` is for the everyday reads and writes of single families.
"""

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from fair_dagster.domain.items.damage import DamagedItem
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.moving import Document, Load

T = TypeVar("T")
Items = Callable[[], Iterator[Item]]
"""Reads the items of a load anew from where they come from, in the order in which they are to be written."""


class Reader(Protocol):
    """A catalog that can be read from one end to the other.

    Every method raises ``CatalogError`` when the catalog cannot be read.
    """

    @property
    def name(self) -> str:
        """What people call the place: a folder or a URL, without credentials."""

    def walk(self, collection: str) -> Iterator[Item | DamagedItem]:
        """All items of ``collection``, one at a time, the damaged ones in between."""

    def get(self, key: ItemKey) -> Item | None:
        """The item at ``key``; None where there is none."""

    def count(self, collection: str) -> int:
        """About how many items ``walk`` will give; for progress bars."""

    def document(self, collection: str) -> Document | None:
        """The collection document without structural links; None where there is none.

        Raises:
            CatalogError: it is damaged.
        """


class Writer(Reader, Protocol):
    """A place while it is being written: no other program changes it, as far as the medium can keep it out."""

    @property
    def is_atomic(self) -> bool:
        """Whether nobody sees a part of a load."""

    def write(self, load: Load, items: Items) -> None:
        """Write ``load``; ``items`` gives what is created and updated.

        Raises:
            CatalogError: it could not be written. Nothing has changed then, unless the message says otherwise.
        """


class Place(Protocol):
    """A catalog that can be read, and written by one load."""

    @property
    def name(self) -> str: ...

    def unstorable(self, item: Item) -> list[str]:
        """Why the medium cannot hold ``item``; empty where it can."""

    def unstorable_document(self, document: Document) -> list[str]:
        """Why the medium cannot hold a collection document; empty where it can."""

    def expect(self, item: Item) -> None:
        """Told of every item that the next ``write`` may bring, before it: a place may have to make room."""

    def read(self, act: Callable[[Reader], T]) -> T:
        """What ``act`` returns, told what the catalog holds. May be done again when a server was restarted meanwhile.

        Raises:
            CatalogError: the catalog cannot be read.
        """

    def write(self, act: Callable[[Writer], T]) -> T:
        """As ``read``, for a load. Where the medium can, other writers wait, and what fails is undone."""

    def recompute(self) -> None:
        """Compute the collection documents anew from all items."""

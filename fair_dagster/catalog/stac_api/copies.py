"""Copies of what is damaged behind an API, put aside on this machine before it is overwritten or removed.

The JSON catalog puts its copies into its own journal, see ``upkeep``. What is damaged is decided in ``domain.damage``.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from fair_dagster.catalog.stac_api.items import Stored
from fair_dagster.domain.errors import CatalogError
from fair_dagster.domain.items.damage import collection_problem
from fair_dagster.net.files import reason_of, replace


@dataclass(frozen=True)
class Copy:
    """The JSON of something damaged, and the name that it is put aside under."""

    name: str
    raw: bytes

    @property
    def file_name(self) -> str:
        """Of the content too, so that two states of an item are two files."""
        return f"{self.name}-{hashlib.sha256(self.raw).hexdigest()[:8]}.json"


def item_copies(found: Iterable[Stored]) -> list[Copy]:
    """Of the damaged ones among ``found``."""
    return [Copy(f"{one.key.collection}-{one.key.id}", one.raw) for one in found if one.item is None]


def document_copies(documents: Iterable[tuple[str, Any]]) -> list[Copy]:
    """Of the damaged ones among collection documents, given with the names of their collections."""
    return [
        Copy(name, orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
        for name, document in documents
        if document is not None and collection_problem(document, name)
    ]


class Aside:
    """The folder of copies, made with the first of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, copies: Iterable[Copy]) -> None:
        """Write ``copies`` and wait until the disk has them. Called before anything else is written.

        One that is not needed in the end does no harm, and the same again is written once.

        Raises:
            CatalogError: the disk refused.
        """
        for copy in copies:
            path = self._folder / copy.file_name
            try:
                _write(path, copy.raw)
            except OSError as error:
                raise CatalogError(
                    f"{copy.name} is damaged, and no copy of it could be put into {self._folder}: {reason_of(error)}. "
                    "It is overwritten only when there is one; nothing was written"
                ) from error


def _write(path: Path, content: bytes) -> None:
    if not (path.is_file() and path.read_bytes() == content):
        replace(path, content, is_public=True)

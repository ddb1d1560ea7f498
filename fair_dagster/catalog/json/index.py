"""An index over the files of items, kept in the process: a file is read again only when it has changed.

Nothing is written to the disk, and nothing is decided from an entry that is missing: its file may be damaged.
"""

import os
from collections.abc import Iterable

import orjson

from fair_dagster.domain.errors import CatalogError
from fair_dagster.domain.items.entries import Entry, entry_of

_Stamp = tuple[int, int, int]


class FileIndex:
    """Entries by path, each with the stamp of the file it was read from.

    Every write of a store replaces the file, so that its inode, size or time tells a change.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[_Stamp, Entry | None]] = {}

    def entries(self, paths: Iterable[str]) -> list[Entry]:
        """The entries of the item files ``paths``, in their order.

        A file that is gone or damaged is left out; a damaged one is not read again before it has changed.

        Raises:
            CatalogError: a file could not be read.
        """
        return [entry for path in paths if (entry := self._entry(path)) is not None]

    def _entry(self, path: str) -> Entry | None:
        try:
            # Ten thousand paths as objects would cost more than looking at the files.
            status = os.stat(path)  # noqa: PTH116
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            known = self._known.get(path)
            if known is None or known[0] != stamp:
                with open(path, "rb") as stream:  # noqa: PTH123
                    known = (stamp, parse_entry(stream.read(), path.rpartition("/")[0]))
                self._known[path] = known
        except FileNotFoundError:
            self._known.pop(path, None)
            return None
        except OSError as error:
            raise CatalogError(f"{path} could not be read: {error.strerror or error}") from error
        return known[1]


def parse_entry(content: bytes, folder: str) -> Entry | None:
    try:
        return entry_of(orjson.loads(content), folder)
    except (ValueError, KeyError, TypeError, AttributeError):
        # Truncated, or JSON that is no item: reconciliation reports it, and no other item has to wait for that.
        return None

"""Parts of a large file: how it is cut, and how a part is read where it lies, without memory of its size.

Nothing here knows where parts are sent.
"""

import io
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

from fair_dagster.domain.errors import StorageError

PART = 8 << 20
BLOCK = 1 << 20
_MAX_PARTS = 10_000
"""S3 allows no more in one object."""
_SENT_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Part:
    """``length`` bytes of a file from ``offset`` on; ``md5`` of them as they were read."""

    number: int
    offset: int
    length: int
    md5: bytes = b""


def parts_of(size: int) -> Iterator[Part]:
    length = max(PART, math.ceil(size / _MAX_PARTS / BLOCK) * BLOCK)
    for number, offset in enumerate(range(0, size, length), start=1):
        yield Part(number, offset, min(length, size - offset))


def blocks_of(descriptor: int, part: Part) -> Iterator[bytes]:
    position, end = part.offset, part.offset + part.length
    while position < end:
        block = os.pread(descriptor, min(BLOCK, end - position), position)
        if not block:
            raise StorageError("the file became shorter while it was read; try again")
        yield block
        position += len(block)


class Slice(io.RawIOBase):
    """A part of an open file, read where it lies: sending a part takes no memory of its size."""

    def __init__(self, descriptor: int, offset: int, length: int) -> None:
        super().__init__()
        self._descriptor, self._offset, self._length = descriptor, offset, length
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(self._length - self._position, 0)
        # The HTTP library asks for blocks so small that their number would cost more than their bytes, and sends what
        # it is given.
        wanted = left if size < 0 else min(left, max(size, _SENT_AT_ONCE))
        block = os.pread(self._descriptor, wanted, self._offset + self._position)
        self._position += len(block)
        return block

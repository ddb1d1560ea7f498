"""Files as layers of an image: tar archives whose bytes follow from the files alone. Pure.

Nothing that differs between two machines goes into an archive: times, owners and order are fixed, and nothing is
compressed (decision 0040). Its size is known before its content is read. What an image is made of stands in ``images``;
what is read and sent, in ``image_building``.

See docs/decisions/0040.
"""

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from fair_dagster.oci.descriptors import Descriptor

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
MODELS = "models"
"""The folder of an image in which KServe and its image volumes look for a model."""

_BLOCK = 512
_END = bytes(2 * _BLOCK)
_SMALL = 1 << 20
"""Files below this share a layer: each layer costs a request, and a mount on the node."""
_MOST_LAYERS = 64
"""Of files; overlayfs stacks at most 127, and the base has some."""

Piece = bytes | Descriptor
"""A part of an archive: its bytes, or a blob whose content stands there."""


@dataclass(frozen=True)
class File:
    """A file of an image. ``path`` is relative to its root."""

    path: str
    content: bytes | Descriptor
    is_program: bool = False

    @property
    def size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.size


@dataclass(frozen=True)
class Link:
    """A symbolic link of an image."""

    path: str
    target: str


Entry = File | Link


@dataclass(frozen=True)
class Archive:
    """A layer to be: its entries in their order. Folders above them are part of it."""

    entries: tuple[Entry, ...]

    def pieces(self) -> Iterator[Piece]:
        """What the archive is made of, from its start to its end."""
        for folder in _folders(self.entries):
            yield _header(folder, tarfile.DIRTYPE, 0o755)
        for entry in self.entries:
            if isinstance(entry, Link):
                yield _header(entry.path, tarfile.SYMTYPE, 0o777, target=entry.target)
                continue
            yield _header(entry.path, tarfile.REGTYPE, 0o755 if entry.is_program else 0o644, entry.size)
            if entry.size:
                yield entry.content
            if rest := entry.size % _BLOCK:
                yield bytes(_BLOCK - rest)
        yield _END

    @property
    def size(self) -> int:
        """Bytes of the whole archive."""
        return sum(len(piece) if isinstance(piece, bytes) else piece.size for piece in self.pieces())

    @property
    def title(self) -> str:
        """What it holds, for people."""
        first = PurePosixPath(self.entries[0].path).name
        return first if len(self.entries) == 1 else f"{first} and {len(self.entries) - 1} more"


def archives(files: Mapping[str, Descriptor]) -> list[Archive]:
    """How the files of a model are laid into layers: a large file has its own, so that it is stored once however often
    its neighbours change; the small ones share one.

    Args:
        files: blobs by their paths below ``MODELS``.
    """
    entries = [File(f"{MODELS}/{path}", files[path]) for path in sorted(files)]
    by_size = sorted((one for one in entries if one.size >= _SMALL), key=lambda one: (-one.size, one.path))
    alone = by_size[: _MOST_LAYERS - 1]
    rest = [entry for entry in entries if entry not in alone]
    # What changes least lies lowest.
    layers = [Archive((entry,)) for entry in entries if entry in alone]
    return [*layers, Archive(tuple(rest))] if rest else layers


def _folders(entries: Sequence[Entry]) -> list[str]:
    """Every folder above the entries, each after those above it."""
    found = {str(parent) for entry in entries for parent in PurePosixPath(entry.path).parents}
    return sorted(found - {"."})


def _header(path: str, kind: bytes, mode: int, size: int = 0, target: str = "") -> bytes:
    # Owner 0, no names, time 0: what is not set here is so in every ``TarInfo``. Long names and sizes are POSIX's.
    info = tarfile.TarInfo(path)
    info.type, info.mode, info.size, info.linkname = kind, mode, size, target
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")

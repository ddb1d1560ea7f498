"""The artifact store: what every place of published artifacts can do, and how keys and addresses are written.

A key like ``local-models/<slug>/v1-1a2b/model.onnx`` names a file or a folder of files. ``local`` and ``s3`` are such
places; ``opening`` chooses one. Which artifacts are published when is decided elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import quote, unquote

from fair_dagster.domain.errors import StorageError
from fair_dagster.domain.items.artifacts import PublishedArtifact


@dataclass(frozen=True)
class Seen:
    """An artifact as it was found: its bytes, and its checksum (a hex multihash) where that could be told.

    ``state`` is another text after each write, where the place can tell that without reading; empty where it cannot.
    """

    size: int
    checksum: str | None = None
    state: str = field(default="", compare=False)

    def is_as(self, told: PublishedArtifact) -> bool:
        return (self.size, self.checksum) == (told.size, told.checksum)


@dataclass(frozen=True)
class Unfinished:
    """What a process has begun to write under ``key`` and not ended. ``token`` is for ``discard``."""

    key: str
    begun: datetime
    token: str


class ArtifactStore(Protocol):
    """Where published artifacts are kept. Every method raises ``StorageError`` when the place cannot be used."""

    def href(self, key: str) -> str:
        """What an item names the artifact ``key`` by: stable, without credentials, public where a base URL is set."""
        ...

    def key_of(self, href: str) -> str | None:
        """The key behind an href in any of its spellings; None for what is not kept here."""
        ...

    def place(self, key: str) -> str:
        """Where ``key`` is kept, for people."""
        ...

    def publish(self, source: Path, key: str, files: Sequence[Path] | None = None) -> PublishedArtifact:
        """Copy the file or folder ``source`` to ``key`` unless it is there already, whole and unchanged.

        What is there and differs from the source was changed after it was published, and is replaced: adopting it would
        make the change what was published. ``files`` narrows a folder to some of its files. A folder's checksum is the
        SHA-256 of its ``<sha256>  <relative path>`` lines in sorted order, its size the sum. When it fails no file is
        left that is not whole; of a folder in a bucket some files may be, which the next publication completes.
        """
        ...

    def restore(self, source: Path, key: str, files: Sequence[Path] | None = None) -> PublishedArtifact:
        """Copy ``source`` to ``key``, replacing what is there: a file in one step, a folder in several."""
        ...

    def write(self, content: bytes, key: str) -> PublishedArtifact:
        """Write a small document to ``key``, replacing what is there, in one step."""
        ...

    def read(self, key: str) -> bytes | None:
        """A small document; None when it is not there."""
        ...

    def fetch(self, key: str, target: Path) -> PublishedArtifact:
        """Copy a file or folder to the local path ``target``, which must not exist, and describe what was copied.

        What is there may be cut short when it fails: callers copy to a place of their own first.
        """
        ...

    def size(self, key: str) -> int | None:
        """Bytes of a file, or of all files of a folder; None when nothing is there."""
        ...

    def look(self, key: str, *, read: bool = True) -> Seen | None:
        """What is at ``key``; None when nothing is.

        Args:
            read: read all of it. Without, the checksum is what the place knows of it: none at all, or the one that it
                noted when the artifact was published. Only what was written since that note is read.
        """
        ...

    def remove(self, prefix: str) -> None:
        """Remove everything under ``prefix``; it is not an error when there is nothing. Some of it may be left."""
        ...

    def age(self, prefix: str) -> float | None:
        """Seconds since anything under ``prefix`` was last written; None when it is not there."""
        ...

    def prefixes(self, under: str) -> list[str]:
        """The folders directly under ``under``, as keys, sorted. What somebody laid beside them is none of ours."""
        ...

    def unfinished(self) -> list[Unfinished]:
        """What is being written now, or was when its process was killed. No reader finds it."""
        ...

    def discard(self, token: str) -> None:
        """Throw away what ``unfinished`` named; it is not an error when it is gone."""
        ...


def split_s3(url: str) -> tuple[str, str]:
    """Bucket and key of an ``s3://`` URL; the key may be empty.

    Raises:
        StorageError: it is none.
    """
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket or "@" in bucket or ".." in PurePosixPath(key).parts:
        raise StorageError(f"{scheme}://… must be s3://<bucket>/<prefix>: credentials come from the environment")
    return bucket, key.strip("/")


def require_key(key: str) -> str:
    """``key``, when it stays below the root of a store.

    Raises:
        StorageError: it would leave it.
    """
    parts = PurePosixPath(key).parts
    if not parts or key.startswith("/") or any(part in {"..", "."} for part in parts):
        raise StorageError(f"artifact key {key!r} must be a relative path without '..'")
    return "/".join(parts)


def url_of(base: str, key: str) -> str:
    """The public URL of a key."""
    return f"{base}/{quote(key)}"


def key_below(href: str, base: str, *, quoted: bool = False) -> str | None:
    """The key of an ``href`` below ``base``; None for one that lies elsewhere or leaves it."""
    if not base or not href.startswith(f"{base}/"):
        return None
    rest = href.removeprefix(f"{base}/")
    key = unquote(rest) if quoted else rest
    parts = PurePosixPath(key).parts
    is_plain = bool(parts) and not key.startswith("/") and not {"..", "."} & set(parts)
    return "/".join(parts) if is_plain and not (quoted and {"?", "#"} & set(rest)) else None

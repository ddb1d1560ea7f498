"""What is noted of an artifact in a bucket when it has been published: its files, their checksums and ETags.

The note is written last. A folder with a note that fits what is listed is whole and unchanged, which costs one listing
instead of reading all of it. Nothing here talks to a server.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import orjson

from fair_dagster.domain.items.artifacts import multihash
from fair_dagster.storage.local import combine_digests
from fair_dagster.storage.store import Seen


@dataclass(frozen=True)
class StoredFile:
    """One object. ``etag`` is without quotes; ``sha256`` in hex, empty where it is not known."""

    size: int
    etag: str
    sha256: str = ""


@dataclass(frozen=True)
class Manifest:
    """The files of an artifact by their path below it; an artifact that is one file has the empty path."""

    files: Mapping[str, StoredFile]

    @property
    def seen(self) -> Seen:
        """Size and checksum of the whole."""
        size = sum(file.size for file in self.files.values())
        if (only := self.files.get("")) is not None:
            return Seen(size, multihash(only.sha256))
        return Seen(size, combine_digests((name, file.sha256) for name, file in self.files.items()))

    def unread(self, listed: Mapping[str, StoredFile]) -> list[str]:
        """The listed files whose checksum this note does not tell: they are new, or were written since."""
        return [name for name, file in listed.items() if not self._tells(name, file)]

    def with_checksums(self, listed: Mapping[str, StoredFile], read: Mapping[str, str]) -> "Manifest":
        """The files that are there now, with checksums from here and from what was ``read``."""
        return Manifest(
            {
                name: StoredFile(file.size, file.etag, read.get(name) or self.files[name].sha256)
                for name, file in listed.items()
            }
        )

    def _tells(self, name: str, file: StoredFile) -> bool:
        noted = self.files.get(name)
        return noted is not None and (noted.size, noted.etag) == (file.size, file.etag)

    def dump(self) -> bytes:
        rows = {name: [file.size, file.etag, file.sha256] for name, file in sorted(self.files.items())}
        return orjson.dumps({"files": rows})


def load(content: bytes | None) -> Manifest:
    """A note as it was written; an empty one where there is none or it cannot be read: then nothing is known."""
    try:
        rows = orjson.loads(content or b"")["files"]
        return Manifest({str(name): StoredFile(int(row[0]), str(row[1]), str(row[2])) for name, row in rows.items()})
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return Manifest({})


def manifest_key(key: str) -> str:
    """Where the note of ``key`` stands: beside it, hidden."""
    path = PurePosixPath(key)
    return str(path.with_name(f".{path.name}.manifest.json"))


def state_of(listed: Mapping[str, StoredFile]) -> str:
    """A digest of the names, sizes and ETags of an artifact's objects: another one after each write."""
    rows = [(name, file.size, file.etag) for name, file in sorted(listed.items())]
    return hashlib.sha256(orjson.dumps(rows)).hexdigest()


def is_hidden(parts: Sequence[str]) -> bool:
    """Whether a file is none of an artifact's, as for local folders."""
    return any(part.startswith(".") or part == "__pycache__" for part in parts)


def is_relative(name: str) -> bool:
    """Whether a name that was cut from a key is the path of a file below a folder: keys may hold anything."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and path.as_posix() == name

"""Artifacts in a local folder: copied once, checksummed on the way, visible only when whole."""

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from fair_dagster.domain.errors import StorageError
from fair_dagster.domain.items.artifacts import PublishedArtifact, multihash
from fair_dagster.net.files import file_digest
from fair_dagster.net.files import replace as replace_file
from fair_dagster.storage.store import Seen, Unfinished, key_below, require_key, url_of

_BLOCK = 1 << 20
_PARTIAL = ".partial-"


class LocalArtifacts:
    """Artifacts under ``root``. ``base`` is the URL under which a web server shows them, when there is one."""

    def __init__(self, root: Path, base: str = "") -> None:
        self.root = root
        self._base = base

    def path(self, key: str) -> Path:
        """The path of ``key``.

        Raises:
            StorageError: the key would leave the root.
        """
        return self.root / require_key(key)

    def href(self, key: str) -> str:
        return url_of(self._base, require_key(key)) if self._base else str(self.path(key))

    def key_of(self, href: str) -> str | None:
        found = key_below(href, str(self.root))
        return found if found is not None else key_below(href, self._base, quoted=True)

    def place(self, key: str) -> str:
        return str(self.path(key))

    def publish(self, source: Path, key: str, files: Sequence[Path] | None = None) -> PublishedArtifact:
        target = self.path(key)
        try:
            if target.exists():
                present, wanted = describe(target), describe(source, files)
                is_equal = (present.size, present.checksum) == (wanted.size, wanted.checksum)
                return self._named(key, present) if is_equal else self.restore(source, key, files)
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f"{_PARTIAL}{uuid.uuid4().hex}-{target.name}")
            try:
                _copy(source, partial, files)
                _adopt(partial, target)
            finally:
                _remove(partial)
            return self._named(key, describe(target))
        except OSError as error:
            raise StorageError(f"cannot publish {source} as {target}: {error.strerror or error}") from error

    def write(self, content: bytes, key: str) -> PublishedArtifact:
        target = self.path(key)
        try:
            if not (target.is_file() and target.read_bytes() == content):
                replace_file(target, content, prefix=_PARTIAL, is_public=True)
            return self._named(key, describe(target))
        except OSError as error:
            raise StorageError(f"cannot write {target}: {error.strerror or error}") from error

    def read(self, key: str) -> bytes | None:
        path = self.path(key)
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error

    def fetch(self, key: str, target: Path) -> PublishedArtifact:
        source = self.path(key)
        try:
            _copy(source, target, None)
        except OSError as error:
            raise StorageError(f"cannot copy {source} to {target}: {error.strerror or error}") from error
        return self._named(key, describe(target))

    def size(self, key: str) -> int | None:
        seen = look_at(self.path(key), read=False)
        return None if seen is None else seen.size

    def look(self, key: str, *, read: bool = True) -> Seen | None:
        return look_at(self.path(key), read=read)

    def remove(self, prefix: str) -> None:
        path = self.path(prefix)
        try:
            _remove(path)
        except OSError as error:
            raise StorageError(f"cannot remove {path}: {error.strerror or error}") from error

    def restore(self, source: Path, key: str, files: Sequence[Path] | None = None) -> PublishedArtifact:
        target = self.path(key)
        partial = target.with_name(f"{_PARTIAL}{uuid.uuid4().hex}-{target.name}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(source, partial, files)
            if target.is_dir():
                _remove(target)
            partial.replace(target)
            return self._named(key, describe(target))
        except OSError as error:
            raise StorageError(f"cannot restore {target} from {source}: {error.strerror or error}") from error
        finally:
            _remove(partial)

    def age(self, prefix: str) -> float | None:
        folder = self.path(prefix)
        try:
            newest = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{folder} cannot be read: {error.strerror or error}") from error
        return time.time() - newest

    def prefixes(self, under: str) -> list[str]:
        folder = self.path(under)
        try:
            return sorted(f"{under}/{child.name}" for child in folder.iterdir() if child.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(f"{folder} cannot be read: {error.strerror or error}") from error

    def unfinished(self) -> list[Unfinished]:
        found: list[tuple[Path, float]] = []
        try:
            for path in sorted(self.root.rglob(f"{_PARTIAL}*")):
                # It may be finished, and have its own name, by now.
                with suppress(FileNotFoundError):
                    found.append((path, path.stat().st_mtime))
        except OSError as error:
            raise StorageError(f"{self.root} cannot be read: {error.strerror or error}") from error
        keys = [(path.relative_to(self.root).as_posix(), written) for path, written in found]
        return [Unfinished(key, datetime.fromtimestamp(written, UTC), key) for key, written in keys]

    def discard(self, token: str) -> None:
        path = self.path(token)
        if path.name.startswith(_PARTIAL):
            self.remove(token)

    def _named(self, key: str, described: PublishedArtifact) -> PublishedArtifact:
        return replace(described, href=self.href(key))


def look_at(path: Path, *, read: bool = True) -> Seen | None:
    """As ``ArtifactStore.look`` of a local path.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        if not path.exists():
            return None
        if not read:
            return Seen(size_of(path))
        found = _describe(path, None)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    return Seen(found.size, found.checksum)


def _adopt(partial: Path, target: Path) -> None:
    """Move ``partial`` into place. Another process may have been faster; its copy is as good."""
    try:
        partial.rename(target)
    except OSError:
        if not target.exists():
            raise


def _copy(source: Path, target: Path, files: Sequence[Path] | None) -> None:
    if not source.is_dir():
        _copy_file(source, target)
        return
    for file in _files(source) if files is None else files:
        _copy_file(file, target / file.relative_to(source))


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reader, target.open("wb") as writer:
        shutil.copyfileobj(reader, writer, _BLOCK)
        writer.flush()
        os.fsync(writer.fileno())


def describe(path: Path, files: Sequence[Path] | None = None) -> PublishedArtifact:
    """Size and checksum of a file, of a folder, or of ``files`` in it, read whole.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        return _describe(path, files)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error


def describe_content(content: bytes) -> PublishedArtifact:
    """Size and checksum of what is not a file yet."""
    return PublishedArtifact("", len(content), multihash(hashlib.sha256(content).hexdigest()))


def _describe(path: Path, files: Sequence[Path] | None) -> PublishedArtifact:
    if path.is_file():
        return PublishedArtifact(str(path), path.stat().st_size, multihash(file_digest(path)[0]))
    described = files_of(path, files)
    size = sum(file.stat().st_size for file in described.values())
    return PublishedArtifact(
        str(path), size, combine_digests((name, file_digest(file)[0]) for name, file in described.items())
    )


def files_of(folder: Path, files: Sequence[Path] | None = None) -> dict[str, Path]:
    """The files of a folder that are published, or ``files`` of it, by their relative path."""
    return {file.relative_to(folder).as_posix(): file for file in (_files(folder) if files is None else files)}


def combine_digests(digests: Iterable[tuple[str, str]]) -> str:
    """The checksum of a folder from relative path and SHA-256 (hex) of each of its files, in any order."""
    lines = sorted(((PurePosixPath(name).parts, digest, name) for name, digest in digests), key=lambda line: line[0])
    return multihash(hashlib.sha256("".join(f"{sha}  {name}\n" for _, sha, name in lines).encode()).hexdigest())


def _files(folder: Path) -> Iterator[Path]:
    """The regular files below ``folder`` in sorted order, without hidden ones and Python's caches."""
    for path in sorted(folder.rglob("*")):
        left_out = any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(folder).parts)
        if path.is_file() and not left_out:
            yield path


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in _files(path))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

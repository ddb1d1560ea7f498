"""Artifacts in a local folder: copied once, checksummed on the way, visible only when whole."""

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from fair_dagster.domain.artifacts import PublishedArtifact, multihash
from fair_dagster.domain.errors import StorageError

_BLOCK = 1 << 20
_PARTIAL = ".partial-"


class LocalArtifacts:
    """Artifacts under ``root``, each named by a key like ``local-models/<slug>/v1-1a2b/model.onnx``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """The path of ``key``.

        Raises:
            StorageError: the key would leave the root.
        """
        parts = PurePosixPath(key).parts
        if not parts or key.startswith("/") or any(part in {"..", "."} for part in parts):
            raise StorageError(f"artifact key {key!r} must be a relative path without '..'")
        return self.root.joinpath(*parts)

    def publish(self, source: Path, key: str, files: Sequence[Path] | None = None) -> PublishedArtifact:
        """Copy the file or folder ``source`` to ``key`` unless it is there already.

        What is there and differs from the source was changed after it was published, and is replaced: adopting it would
        make the change what was published. ``files`` narrows a folder to some of its files. A folder's checksum is the
        SHA-256 of its ``<sha256>  <relative path>`` lines in sorted order, its size the sum.

        Raises:
            StorageError: the source cannot be read or the copy cannot be written; nothing is left behind.
        """
        target = self.path(key)
        try:
            if target.exists():
                present, wanted = describe(target), describe(source, files)
                is_equal = (present.size, present.checksum) == (wanted.size, wanted.checksum)
                return present if is_equal else self.restore(source, key, files)
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f"{_PARTIAL}{uuid.uuid4().hex}-{target.name}")
            try:
                _copy(source, partial, files)
                _adopt(partial, target)
            finally:
                _remove(partial)
            return describe(target)
        except OSError as error:
            raise StorageError(f"cannot publish {source} as {target}: {error.strerror or error}") from error

    def write(self, content: bytes, key: str) -> PublishedArtifact:
        """Write ``content`` to ``key``, replacing what is there, atomically."""
        target = self.path(key)
        partial = target.with_name(f"{_PARTIAL}{uuid.uuid4().hex}-{target.name}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if not (target.is_file() and target.read_bytes() == content):
                with partial.open("wb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                partial.replace(target)
            return describe(target)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise StorageError(f"cannot write {target}: {error.strerror or error}") from error

    def remove(self, prefix: str) -> None:
        """Remove everything under ``prefix``; it is not an error when there is nothing.

        Raises:
            StorageError: the disk refused; some of it may be left.
        """
        path = self.path(prefix)
        try:
            _remove(path)
        except OSError as error:
            raise StorageError(f"cannot remove {path}: {error.strerror or error}") from error

    def restore(self, source: Path, key: str, files: Sequence[Path] | None = None) -> PublishedArtifact:
        """Copy ``source`` to ``key``, replacing what is there: a file in one step, a folder in two.

        Raises:
            StorageError: as ``publish``; what was there stays.
        """
        target = self.path(key)
        partial = target.with_name(f"{_PARTIAL}{uuid.uuid4().hex}-{target.name}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(source, partial, files)
            if target.is_dir():
                _remove(target)
            partial.replace(target)
            return describe(target)
        except OSError as error:
            raise StorageError(f"cannot restore {target} from {source}: {error.strerror or error}") from error
        finally:
            _remove(partial)

    def age(self, prefix: str) -> float | None:
        """Seconds since anything under ``prefix`` was last written; None when it is not there.

        Raises:
            StorageError: it cannot be read.
        """
        folder = self.path(prefix)
        try:
            newest = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{folder} cannot be read: {error.strerror or error}") from error
        return time.time() - newest

    def prefixes(self, under: str) -> list[str]:
        """The folders directly under ``under``, as keys. A file that somebody laid beside them is none of ours.

        Raises:
            StorageError: ``under`` cannot be read.
        """
        folder = self.path(under)
        try:
            return sorted(f"{under}/{child.name}" for child in folder.iterdir() if child.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(f"{folder} cannot be read: {error.strerror or error}") from error


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
        return _described(path, files)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error


def describe_content(content: bytes) -> PublishedArtifact:
    """Size and checksum of what is not a file yet."""
    return PublishedArtifact("", len(content), multihash(hashlib.sha256(content).hexdigest()))


def _described(path: Path, files: Sequence[Path] | None) -> PublishedArtifact:
    if path.is_file():
        return PublishedArtifact(str(path), path.stat().st_size, multihash(_sha256(path)))
    described = sorted(_files(path) if files is None else files)
    lines = [f"{_sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in described]
    size = sum(file.stat().st_size for file in described)
    return PublishedArtifact(str(path), size, multihash(hashlib.sha256("".join(lines).encode()).hexdigest()))


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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

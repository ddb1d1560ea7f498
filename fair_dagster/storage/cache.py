"""Copies on this machine of artifacts that lie elsewhere, under ``FAIR_HOME/cache``: whole, verified, made once.

A copy with a checksum is kept under it, so that equal content of any address is fetched once. Where they are fetched
from stands in ``s3`` and ``web``.
"""

import hashlib
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from fair_dagster.domain.artifacts import multihash
from fair_dagster.domain.errors import StorageError
from fair_dagster.domain.urls import redacted
from fair_dagster.settings import Settings
from fair_dagster.storage.local import look_at
from fair_dagster.storage.store import ArtifactStore, open_bucket, split_s3
from fair_dagster.storage.web import Limits, download

_PARTIAL = ".partial-"
_ETAG = ".etag"


def local_copy(settings: Settings, store: ArtifactStore, href: str, checksum: str | None = None) -> Path:
    """A path of this machine with the file or folder behind ``href``; what lies here already is used where it lies.

    Args:
        checksum: what an item says of it, a hex multihash. Without, a copy of a bucket is verified by what was noted
            there, and one from the web is asked for again each time, which costs little while the server knows its
            ETag.

    Raises:
        StorageError: it cannot be fetched, or its checksum is another; no copy is left.
    """
    scheme = urlsplit(href).scheme if "://" in href else ""
    key = store.key_of(href)
    if key is None and scheme in ("", "file"):
        return Path(unquote(urlsplit(href).path)) if scheme else Path(href)
    if key is None and scheme == "s3":
        bucket, key = split_s3(href)
        store = open_bucket(settings, bucket)
    if key is not None:
        if checksum is None:
            seen = store.look(key, read=False)
            checksum = seen.checksum if seen is not None else None
        return kept_copy(settings, href, checksum, lambda target: store.fetch(key, target).checksum)
    if checksum is None:
        return _asked_again(settings, href)
    return kept_copy(settings, href, checksum, lambda target: _from_web(settings, href, target))


def kept_copy(
    settings: Settings, href: str, checksum: str | None, fetch: Callable[[Path], str], name: str = ""
) -> Path:
    """The copy with ``checksum``, fetched when it is not there or not what it was.

    Args:
        fetch: writes it to a path and gives its checksum, a hex multihash.
        name: of the copy; by default the last part of the path in ``href``.

    Raises:
        StorageError: it has another checksum, or the cache cannot be written; no copy is left.
    """
    folder = settings.cache_path / "artifacts" / (checksum or hashlib.sha256(href.encode()).hexdigest())
    target = folder / (name or _name(href))
    with _turn(folder):
        seen = look_at(target) if checksum is not None else None
        if seen is not None and seen.checksum == checksum:
            return target
        partial = folder / f"{_PARTIAL}{uuid.uuid4().hex}"
        try:
            found = fetch(partial)
            if found != (checksum or found):
                raise StorageError(f"{redacted(href)} has checksum {found}, and its item says {checksum}")
            _remove(target)
            partial.replace(target)
        except OSError as error:
            raise StorageError(f"{target} cannot be written: {error.strerror or error}") from error
        finally:
            _remove(partial)
    return target


def _asked_again(settings: Settings, href: str) -> Path:
    folder = settings.cache_path / "web" / hashlib.sha256(href.encode()).hexdigest()
    target, noted = folder / _name(href), folder / _ETAG
    with _turn(folder):
        partial = folder / f"{_PARTIAL}{uuid.uuid4().hex}"
        try:
            known = noted.read_text() if noted.is_file() and target.is_file() else ""
            found = download(href, partial, _limits(settings), known)
            if found is not None:
                noted.unlink(missing_ok=True)
                partial.replace(target)
                if found.etag:
                    noted.write_text(found.etag)
        except OSError as error:
            raise StorageError(f"{target} cannot be written: {error.strerror or error}") from error
        finally:
            _remove(partial)
    return target


def _from_web(settings: Settings, href: str, target: Path) -> str:
    found = download(href, target, _limits(settings))
    if found is None:
        raise StorageError(f"{redacted(href)} was not sent")
    return multihash(found.sha256)


def _limits(settings: Settings) -> Limits:
    return Limits(settings.fetch_max_bytes, settings.fetch_seconds, settings.fetch_private)


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """One process at a time makes a copy; what a killed one left of it is cleared away."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            for left in folder.glob(f"{_PARTIAL}*"):
                _remove(left)
            yield
    except OSError as error:
        raise StorageError(f"{folder} cannot be used: {error.strerror or error}") from error


def _name(href: str) -> str:
    name = PurePosixPath(unquote(urlsplit(href).path)).name
    return name if name and not name.startswith(".") else "artifact"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

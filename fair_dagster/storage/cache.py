"""Copies on this machine of artifacts that lie elsewhere, under ``FAIR_HOME/cache``: whole, verified, made once.

Copies are kept under their checksums, so that equal content of any address is fetched once and no copy is written
over. What fetches them stands in ``s3`` and ``net.fetching``.
"""

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from fair_dagster.domain.errors import StorageError
from fair_dagster.domain.items.artifacts import Told, multihash
from fair_dagster.domain.urls import redact
from fair_dagster.net.fetching import Limits, fetch_file
from fair_dagster.settings import Settings
from fair_dagster.storage.local import look_at, size_of
from fair_dagster.storage.opening import open_foreign_bucket
from fair_dagster.storage.store import ArtifactStore, Seen, split_s3

_PARTIAL = ".partial-"
_NOTE = "note.json"
_NOTHING = Told()


def local_copy(settings: Settings, store: ArtifactStore, href: str, told: Told = _NOTHING) -> Path:
    """A path of this machine with the file or folder behind ``href``; what lies here already is used where it lies.

    What is written behind ``href`` later gets a path of its own: one that was given goes on holding what it held.

    Args:
        told: what an item says of it. Without a checksum, a copy of a bucket is verified by what was noted there. Of
            what nobody noted anything, it is asked each time whether it has changed, by ETags: that costs little.

    Raises:
        StorageError: it cannot be fetched, or is not what it is said to be; no copy is left.
    """
    scheme = urlsplit(href).scheme if "://" in href else ""
    key = store.key_of(href)
    if key is None and scheme in ("", "file"):
        return Path(unquote(urlsplit(href).path)) if scheme else Path(href)
    if key is None and scheme == "s3":
        bucket, key = split_s3(href)
        store = open_foreign_bucket(settings, bucket)
    if key is not None:
        return _from_store(settings, store, key, href, told)
    if told.checksum is None:
        return _asked_again(settings, href, told.size, lambda target, known: _from_web(settings, href, target, known))
    return keep_copy(settings, href, told, lambda target: _from_web_anew(settings, href, target))


def keep_copy(settings: Settings, href: str, told: Told, fetch: Callable[[Path], str], name: str = "") -> Path:
    """The copy that ``told`` describes, fetched when it is not there or not what it was.

    Args:
        fetch: writes it to a path and gives its checksum, a hex multihash.
        name: of the copy; by default the last part of the path in ``href``.

    Raises:
        StorageError: it is not as told, or the cache cannot be written; no copy is left.
    """
    folder = _folder_of(settings, told.checksum or hashlib.sha256(href.encode()).hexdigest())
    target = folder / (_plain(name) if name else _name(href))
    with _turn(folder):
        if told.checksum is not None and _difference(look_at(target), told) == "":
            return target
        partial = folder / f"{_PARTIAL}{uuid.uuid4().hex}"
        try:
            found = fetch(partial)
            _require(Seen(size_of(partial), found), told, href)
            _remove(target)
            partial.replace(target)
        except OSError as error:
            raise StorageError(f"{target} cannot be written: {error.strerror or error}") from error
        finally:
            _remove(partial)
    return target


def _require(seen: Seen | None, told: Told, href: str) -> None:
    if problem := _difference(seen, told):
        advice = (
            "it was changed since, or came damaged: put back what the item describes, or register anew what is there"
        )
        raise StorageError(f"{redact(href)} {problem}; {advice}")


def _difference(seen: Seen | None, told: Told) -> str:
    """In what a copy is not as told, as the end of a sentence; empty when it is."""
    if seen is None:
        return "is not there"
    if told.size not in {None, seen.size}:
        return f"has {seen.size:,} bytes, and its item says {told.size:,}"
    if told.checksum not in {None, seen.checksum}:
        return f"has checksum {seen.checksum}, and its item says {told.checksum}"
    return ""


def _from_store(settings: Settings, store: ArtifactStore, key: str, href: str, told: Told) -> Path:
    def fetch(target: Path) -> str:
        return store.fetch(key, target).checksum

    seen = Seen(0, told.checksum) if told.checksum is not None else store.look(key, read=False)
    if seen is None or seen.checksum is not None:
        return keep_copy(settings, href, Told(told.size, seen.checksum if seen else None), fetch)
    state = seen.state

    def fetch_changed(target: Path, known: str) -> _Came | None:
        return None if known and known == state else _Came(fetch(target), state)

    return _asked_again(settings, href, told.size, fetch_changed)


@dataclass(frozen=True)
class _Came:
    """What was fetched: its checksum, and the state in which its server had it; empty where it says none."""

    checksum: str
    state: str


def _asked_again(settings: Settings, href: str, size: int | None, ask: Callable[[Path, str], _Came | None]) -> Path:
    """The copy of what has no known checksum, under the checksum that it turns out to have.

    Args:
        ask: writes it to a path, unless it is still in a known state: then it gives None.
    """
    folder = settings.cache_path / "asked" / hashlib.sha256(href.encode()).hexdigest()
    with _turn(folder):
        noted = _read_note(folder / _NOTE)
        target = _intact(settings, href, noted) if noted else None
        partial = folder / f"{_PARTIAL}{uuid.uuid4().hex}"
        try:
            came = ask(partial, noted.state if noted and target else "")
            if came is None:
                if target is None:
                    raise StorageError(f"{redact(href)} was not sent")
                _require(look_at(target, read=False), Told(size), href)
                return target
            copy = keep_copy(settings, href, Told(size, came.checksum), lambda place: _moved(partial, place, came))
            (folder / _NOTE).write_text(json.dumps(asdict(came)))
            return copy
        finally:
            _remove(partial)


def _intact(settings: Settings, href: str, noted: _Came) -> Path | None:
    """The copy that a note names, when it is still what it was."""
    target = _folder_of(settings, noted.checksum) / _name(href)
    seen = look_at(target)
    return target if seen is not None and seen.checksum == noted.checksum else None


def _moved(partial: Path, place: Path, came: _Came) -> str:
    partial.replace(place)
    return came.checksum


def _read_note(path: Path) -> _Came | None:
    """A note as it was written; None where there is none or a killed process has left half of it."""
    try:
        return _Came(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _from_web(settings: Settings, href: str, target: Path, known: str) -> _Came | None:
    found = fetch_file(href, target, _limits(settings), known)
    return _Came(multihash(found.sha256), found.etag) if found is not None else None


def _from_web_anew(settings: Settings, href: str, target: Path) -> str:
    found = _from_web(settings, href, target, "")
    if found is None:
        raise StorageError(f"{redact(href)} was not sent")
    return found.checksum


def _folder_of(settings: Settings, name: str) -> Path:
    return settings.cache_path / "artifacts" / name


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
    return _plain(PurePosixPath(unquote(urlsplit(href).path)).name)


def _plain(name: str) -> str:
    """A name that is none of ours, and no other folder's."""
    return name if name and not name.startswith(".") else "artifact"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

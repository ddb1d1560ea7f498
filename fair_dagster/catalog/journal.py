"""Replacing and deleting several files as one act that a crash cannot cut in half.

New contents are written into a staging folder first and flushed to the disk. Then a journal that lists the
moves is renamed into place: this is the commit point. Then each staged file is moved to its target, and the
journal is removed last. Whoever finds a journal carries it out; whoever finds staged files without one
throws them away. A disk that fills up is noticed before the commit point, so that nothing has to be taken
back.

Knows files, not STAC. The caller holds a lock around ``commit`` and ``recover``.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from fair_dagster.domain.errors import CatalogError

Checkpoint = Callable[[str], None]
"""Called with the name of the step that comes next. Tests raise or kill the process here."""

_JOURNAL = ".journal.json"
_STAGING = ".staging"


def no_checkpoint(_: str) -> None:
    return


@dataclass(frozen=True)
class _Move:
    staged: str
    target: str
    sha256: str


@dataclass(frozen=True)
class _Plan:
    """What the journal says; all paths are relative to the root."""

    moves: tuple[_Move, ...]
    deletes: tuple[str, ...]


class Journal:
    """All-or-nothing writes below ``root``."""

    def __init__(self, root: Path, *, checkpoint: Checkpoint = no_checkpoint) -> None:
        self._root = root
        self._file = root / _JOURNAL
        self._staging = root / _STAGING
        self._checkpoint = checkpoint

    @property
    def pending(self) -> bool:
        """Whether a write was committed and not carried out to its end."""
        return self._file.exists()

    def commit(self, writes: Mapping[Path, bytes], deletes: Iterable[Path] = ()) -> None:
        """Replace the files of ``writes`` by their new contents and remove those of ``deletes``.

        Raises:
            CatalogError: the disk refused. Nothing has changed then, unless the message says otherwise.
        """
        created: list[Path] = []
        try:
            self._discard()
            plan = self._stage(writes, deletes, created)
            self._write_journal(plan)
        except OSError as error:
            self._take_back(created)
            raise CatalogError(f"{_sentence(error, self._root)}; the catalog is as it was") from error
        self._carry_out(plan)

    def recover(self) -> None:
        """Carry out a committed write that was cut off.

        Raises:
            CatalogError: the journal is damaged, or the disk refuses.
        """
        try:
            text = self._file.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise CatalogError(_sentence(error, self._file)) from error
        self._carry_out(self._parsed(text))

    def _stage(self, writes: Mapping[Path, bytes], deletes: Iterable[Path], created: list[Path]) -> _Plan:
        self._checkpoint("stage")
        _make_folder(self._staging, created)
        moves = []
        for number, (target, content) in enumerate(writes.items()):
            staged = self._staging / str(number)
            _write_through(staged, content)
            # Made before the commit point, so that afterwards no step needs space on the disk.
            _make_folder(target.parent, created)
            sha256 = hashlib.sha256(content).hexdigest()
            moves.append(_Move(self._relative(staged), self._relative(target), sha256))
            self._checkpoint(f"staged {target.name}")
        _flush_folder(self._staging)
        return _Plan(tuple(moves), tuple(self._relative(path) for path in deletes))

    def _write_journal(self, plan: _Plan) -> None:
        draft = self._staging / "journal"
        _write_through(draft, orjson.dumps(plan, option=orjson.OPT_INDENT_2))
        self._checkpoint("commit")
        draft.replace(self._file)
        self._checkpoint("committed")
        _flush_folder(self._root)

    def _carry_out(self, plan: _Plan) -> None:
        try:
            folders: set[Path] = set()
            for move in plan.moves:
                self._move(move)
                target = self._root / move.target
                folders |= {target.parent, target.parent.parent}
                self._checkpoint(f"replaced {move.target}")
            for name in plan.deletes:
                path = self._root / name
                path.unlink(missing_ok=True)
                _remove_if_empty(path.parent)
                folders.add(path.parent.parent)
                self._checkpoint(f"deleted {name}")
            for folder in folders:
                _flush_folder(folder)
            self._checkpoint("clean up")
            self._file.unlink(missing_ok=True)
            _flush_folder(self._root)
            self._checkpoint("done")
            self._discard()
        except OSError as error:
            again = f"The write is recorded in {self._file} and is completed as soon as the folder can be written"
            raise CatalogError(f"{_sentence(error, self._root)}. {again}") from error

    def _move(self, move: _Move) -> None:
        staged, target = self._root / move.staged, self._root / move.target
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            staged.replace(target)
        except FileNotFoundError as error:
            # Already moved before the crash; anything else means that someone touched the staging folder.
            if not target.exists() or hashlib.sha256(target.read_bytes()).hexdigest() != move.sha256:
                raise self._damaged(f"the new content of {move.target} is gone") from error

    def _parsed(self, text: bytes) -> _Plan:
        try:
            document = orjson.loads(text)
            moves = tuple(_Move(**move) for move in document["moves"])
            plan = _Plan(moves, tuple(map(str, document["deletes"])))
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise self._damaged("it is no journal of this program") from error
        names = [*plan.deletes, *(name for move in moves for name in (move.staged, move.target))]
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in names):
            raise self._damaged("it names files outside the catalog")
        return plan

    def _damaged(self, why: str) -> CatalogError:
        return CatalogError(
            f"the journal {self._file} cannot be carried out: {why}. Restore the catalog from a copy, "
            "or delete the journal to keep the files as they are and run the reconciliation"
        )

    def _take_back(self, created: list[Path]) -> None:
        """Undo what happened before the commit point; the journal goes first because it commits."""
        try:
            self._file.unlink(missing_ok=True)
            self._discard()
        except OSError:
            # Staged files without a journal mean nothing; the next write removes them.
            pass
        for folder in reversed(created):
            _remove_if_empty(folder)

    def _discard(self) -> None:
        if self._staging.exists():
            shutil.rmtree(self._staging)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make renames inside ``folder`` survive a power failure; a folder that is gone needs nothing."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(folder: Path, created: list[Path]) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir()
        created.append(path)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return


def _sentence(error: OSError, path: Path) -> str:
    reasons = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EFBIG: "the file size limit is reached",
        errno.EROFS: "the disk is read-only",
        errno.EACCES: "there is no permission",
        errno.EPERM: "there is no permission",
    }
    reason = reasons.get(error.errno or 0, error.strerror or str(error))
    return f"the catalog at {path} could not be written: {reason}"

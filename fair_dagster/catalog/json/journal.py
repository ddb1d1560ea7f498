"""Replacing and deleting several files as one act that a crash cannot cut in half.

New contents are written into a staging folder, and a journal lists where each belongs, with its digest. When
all of this is on the disk the write is committed: each staged file is moved to its target, and the journal is
emptied last. Whoever finds a journal whose contents are all there carries it out. Where one is missing the
journal never became complete, no file was moved, and it is thrown away. A disk that fills up is noticed before
the first move, so that nothing has to be taken back.

A write waits for the disk twice: contents and journal are flushed side by side, and so are the folders.

Knows files, not STAC. The caller holds a lock around ``commit`` and ``recover``.

See docs/decisions/0009.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import orjson

from fair_dagster.domain.errors import CatalogError
from fair_dagster.net.files import reason_of

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
        """Whether a write was begun and not carried out to its end."""
        try:
            return self._file.stat().st_size > 0
        except OSError:
            return False

    def commit(self, writes: Mapping[Path, bytes] | Iterable[tuple[Path, bytes]], deletes: Iterable[Path] = ()) -> None:
        """Replace the files of ``writes`` by their new contents and remove those of ``deletes``.

        Pairs are taken one after the other, so that a whole catalog need not be in memory. An error that they raise
        while they are taken is handed on; nothing has changed then.

        Raises:
            CatalogError: the disk refused. Nothing has changed then, unless the message says otherwise.
        """
        created: list[Path] = []
        try:
            self._discard()
            plan = self._stage(writes, deletes, created)
            self._checkpoint("commit")
            self._file.write_bytes(_dump(plan))
            self._checkpoint("committed")
            staged = [self._root / move.staged for move in plan.moves]
            _flush([*staged, self._file, self._staging, self._root])
        except OSError as error:
            self._take_back(created)
            raise CatalogError(f"{_sentence(error, self._root)}; the catalog is as it was") from error
        except BaseException:
            self._take_back(created)
            raise
        self._carry_out(plan)

    def recover(self) -> None:
        """Carry out a write that was cut off after its commit, throw away one that was cut off before.

        Raises:
            CatalogError: the journal names files outside the catalog, or the disk refuses.
        """
        if not self.pending:
            return
        try:
            plan = self._parsed(self._file.read_bytes())
            if plan is None or not all(self._is_there(move) for move in plan.moves):
                self._file.write_bytes(b"")
                self._discard()
                return
        except OSError as error:
            raise CatalogError(_sentence(error, self._root)) from error
        self._carry_out(plan)

    def _stage(
        self,
        writes: Mapping[Path, bytes] | Iterable[tuple[Path, bytes]],
        deletes: Iterable[Path],
        created: list[Path],
    ) -> _Plan:
        self._checkpoint("stage")
        _make_folder(self._staging, created)
        moves = []
        pairs = writes.items() if isinstance(writes, Mapping) else writes
        for number, (target, content) in enumerate(pairs):
            staged = self._staging / str(number)
            staged.write_bytes(content)
            # Made before the commit point, so that afterwards no step needs space on the disk.
            _make_folder(target.parent, created)
            moves.append(_Move(self._relative(staged), self._relative(target), _digest(content)))
            self._checkpoint(f"staged {target.name}")
        return _Plan(tuple(moves), tuple(self._relative(path) for path in deletes))

    def _carry_out(self, plan: _Plan) -> None:
        try:
            folders: set[Path] = set()
            for move in plan.moves:
                target = self._root / move.target
                self._move(self._root / move.staged, target)
                folders |= {target.parent, target.parent.parent}
                self._checkpoint(f"replaced {move.target}")
            for name in plan.deletes:
                path = self._root / name
                path.unlink(missing_ok=True)
                _remove_if_empty(path.parent)
                folders |= {path.parent, path.parent.parent}
                self._checkpoint(f"deleted {name}")
            _flush(folder for folder in folders if folder.exists() and folder.is_relative_to(self._root))
            self._checkpoint("clean up")
            # Need not reach the disk: a journal that comes back finds everything done and changes nothing.
            self._file.write_bytes(b"")
            self._checkpoint("done")
        except OSError as error:
            again = f"The write is recorded in {self._file} and is completed as soon as the folder can be written"
            raise CatalogError(f"{_sentence(error, self._root)}. {again}") from error

    def _move(self, staged: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            staged.replace(target)
        except FileNotFoundError:
            # Moved before the crash: recover() has compared the target with the journal.
            return

    def _is_there(self, move: _Move) -> bool:
        """Whether the content of ``move`` is still staged or has reached its target."""
        return any(
            path.is_file() and _digest(path.read_bytes()) == move.sha256
            for path in (self._root / move.staged, self._root / move.target)
        )

    def _parsed(self, text: bytes) -> _Plan | None:
        """The plan of a journal; None where it was not written to its end."""
        digest, _, body = text.partition(b"\n")
        if digest.decode("ascii", "replace") != _digest(body):
            return None
        try:
            document = orjson.loads(body)
            moves = tuple(_Move(**move) for move in document["moves"])
            plan = _Plan(moves, tuple(map(str, document["deletes"])))
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise self._foreign() from error
        names = [*plan.deletes, *(name for move in moves for name in (move.staged, move.target))]
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in names):
            raise self._foreign()
        return plan

    def _foreign(self) -> CatalogError:
        return CatalogError(
            f"the journal {self._file} was not written by this program and is not carried out. Delete it to "
            "keep the files as they are, and run the reconciliation"
        )

    def _take_back(self, created: list[Path]) -> None:
        """Undo what happened before the first move; the journal goes first because it commits."""
        try:
            if self._file.exists():
                self._file.write_bytes(b"")
            self._discard()
        except OSError:
            # Staged files without a journal mean nothing; the next write removes them.
            pass
        for folder in reversed(created):
            _remove_if_empty(folder)

    def _discard(self) -> None:
        if self._staging.exists():
            for path in self._staging.iterdir():
                path.unlink()

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()


def _dump(plan: _Plan) -> bytes:
    """The digest of the plan on the first line, the plan below it."""
    body = orjson.dumps(plan, option=orjson.OPT_INDENT_2)
    return _digest(body).encode() + b"\n" + body


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _flush(paths: Iterable[Path]) -> None:
    """Wait until files, or the entries of folders, are on the disk. Side by side, the disk does it in one go."""
    waiting = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(max_workers=max(1, min(len(waiting), 4))) as pool:
        # Consumed, so that an error of one of them is raised here.
        list(pool.map(_flush_one, waiting))


def _flush_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
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
    return f"the catalog at {path} could not be written: {reason_of(error)}"

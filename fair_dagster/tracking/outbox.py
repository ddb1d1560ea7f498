"""The outbox: a folder for each training that is not wholly sent yet, and the note that stays when it is.

Written by the run that trains, its child, and the sender; each file has one writer, and is replaced at once or only
appended to. What is sent, and where to, is not known here.

See docs/decisions/0030.
"""

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from fair_dagster.domain.errors import StorageError
from fair_dagster.net.processes import Process

RUNNING = "RUNNING"
Ending = Literal["FINISHED", "FAILED", "KILLED"]
_RUN, _AMENDMENT, _END, _SENT = "run.json", "amendment.json", "end.json", "sent.json"


@dataclass(frozen=True)
class TrackedRun:
    """One training, as it is known before it begins.

    Attributes:
        key: names the training in the outbox and, where ids can be chosen, in the tracker; never used again.
        experiment: what it is compared within.
        version_uuid: ZenML's UUID of the version that is trained.
        note: the file that says afterwards where it is tracked.
        adopt: beginning of the names of ZenML runs, where ZenML's own experiment tracker opens the run in the tracker.
        owner, machine: the process that waits for the training; when it is gone the training was killed.
    """

    key: str
    experiment: str
    name: str
    version_uuid: str
    note: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    begun: str
    adopt: str = ""
    owner: str = ""
    machine: str = field(default_factory=socket.gethostname)


@dataclass(frozen=True)
class Amendment:
    """What is to be said of all runs of a version that were sent before, or from another machine.

    ``ending`` closes those that are still open.
    """

    version_uuid: str
    ending: Ending | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One folder of the outbox."""

    folder: Path

    @property
    def events_path(self) -> Path:
        """What the training's process appends to: a JSON line each."""
        return self.folder / "events.jsonl"

    @property
    def contributed_path(self) -> Path:
        """MLflow's file store for what the pipeline logs by MLflow itself."""
        return self.folder / "contributed"

    @property
    def lock_path(self) -> Path:
        # Beside the folder, which is removed under the lock.
        return self.folder.with_name(f".{self.folder.name}.lock")

    def run(self) -> TrackedRun | None:
        """The training; None when the entry is an amendment, or was never completed."""
        document = _read(self.folder / _RUN)
        return TrackedRun(**document) if document else None

    def amendment(self) -> Amendment | None:
        document = _read(self.folder / _AMENDMENT)
        return Amendment(**document) if document else None

    def sent(self) -> dict[str, Any]:
        """Where sending stands, in the sender's own words."""
        return _read(self.folder / _SENT)

    def save_sent(self, document: Mapping[str, Any]) -> None:
        _write(self.folder / _SENT, document)

    def ending(self) -> Ending | None:
        """How the training ended; None while it goes on."""
        ending: Ending | None = _read(self.folder / _END).get("ending")
        return ending

    def ended(self) -> datetime:
        """When that was, as far as it is known."""
        time = _read(self.folder / _END).get("time")
        return datetime.fromisoformat(time) if time else datetime.now(UTC)

    def end(self, ending: Ending) -> None:
        """Write down how the training ended; the first who says so is right. Of two at the same moment, either is."""
        if self.folder.is_dir() and self.ending() is None:
            _write(self.folder / _END, {"ending": ending, "time": datetime.now(UTC).isoformat()})

    def end_if_owner_is_gone(self, run: TrackedRun) -> None:
        """A training whose process was killed said nothing; of another machine's processes nothing is known here."""
        owner = Process.parse(run.owner)
        if self.ending() is None and run.machine == socket.gethostname() and owner is not None and not owner.alive:
            self.end("KILLED")

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.lock_path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Note:
    """Where one training is tracked. ``url`` is an address for people: a page, or a folder of this machine."""

    tracker: str
    run_id: str
    url: str
    status: str = RUNNING

    @classmethod
    def of(cls, path: Path, key: str) -> Self | None:
        """The note on the training ``key``; None when it was not sent yet."""
        document = _read(path).get(key)
        return cls(**document) if document else None

    @classmethod
    def newest(cls, path: Path) -> Self | None:
        """The note on the last of the trainings that filled one version."""
        notes = list(_read(path).values())
        return cls(**notes[-1]) if notes else None

    def write(self, path: Path, key: str) -> None:
        """Add it to the notes of its version; nothing happens when the version was deleted meanwhile."""
        if path.parent.is_dir():
            _write(path, {**_read(path), key: asdict(self)})


def add_run(outbox: Path, run: TrackedRun) -> Entry:
    """An entry for a training that is about to begin.

    Raises:
        StorageError: the disk refuses.
    """
    entry = Entry(outbox / run.key)
    _write(entry.folder / _RUN, asdict(run))
    return entry


def add_amendment(outbox: Path, key: str, amendment: Amendment) -> Entry:
    """An entry for what is to be said of a version's runs; one of the same key is replaced.

    Raises:
        StorageError: the disk refuses.
    """
    entry = Entry(outbox / key)
    _write(entry.folder / _AMENDMENT, asdict(amendment))
    return entry


def entries(outbox: Path) -> Iterator[Entry]:
    """Everything that is not wholly sent, the oldest first."""
    folders = [path for path in outbox.glob("*") if path.is_dir()] if outbox.is_dir() else []
    yield from (Entry(folder) for folder in sorted(folders, key=_age))


def _age(folder: Path) -> float:
    try:
        return folder.stat().st_ctime
    except OSError:
        return 0.0


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _write(path: Path, document: Mapping[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", delete=False) as file:
            json.dump(document, file)
        os.replace(file.name, path)  # noqa: PTH105 - the name is a text
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}") from error

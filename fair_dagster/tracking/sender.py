"""The process that sends: ``python -m fair_dagster.tracking.sender [ENTRY]``.

Follows one training of the outbox to its end, then sends what earlier ones have left there. Without an entry it only
does the latter. It outlives the training's process, so that one that was killed is closed as such. What the settings
name is the only tracker it talks to; what it could not send stays in the outbox, with the reason.
"""

import logging
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fair_dagster.domain.errors import FairError
from fair_dagster.domain.urls import redacted
from fair_dagster.settings import Settings
from fair_dagster.tracking.contributed import contributed_files, read_contributed
from fair_dagster.tracking.outbox import RUNNING, Ending, Entry, Note, TrackedRun, entries
from fair_dagster.tracking.points import Batch, Position, read_events
from fair_dagster.tracking.tracker import Opened, Tracker, open_tracker

POLL_SECONDS = 0.25
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
_GIVE_UP_SECONDS = 60.0
"""After the end of a training; what is not sent then waits for the next sender."""
MODEL_NAME = "onnx_model"


class Sending:
    """One training on its way to the tracker. Each call of ``step`` sends what is new, or raises."""

    def __init__(self, entry: Entry, run: TrackedRun, tracker: Tracker) -> None:
        self._entry, self._run, self._tracker = entry, run, tracker
        self._state: dict[str, Any] = entry.sent()
        self._opened: Opened | None = None

    def step(self) -> bool:
        """Send what is new; True when the training has ended and all of it is sent."""
        self._entry.end_if_owner_is_gone(self._run)
        # Asked first: what is read afterwards is all that there will be.
        ending = self._entry.ending()
        position = Position(**self._state.get("position", {}))
        with self._entry.events_path.open("ab+") as events:
            events.seek(position.offset)
            batch, after = read_events(events.read(), position)
        if self._run.adopt and ending is None:
            return False
        opened = self._open(batch)
        contributed, after = self._contributed(after, final=ending is not None)
        if (batch, contributed, after) != (Batch(), Batch(), position):
            self._tracker.log(opened, batch)
            self._tracker.log(opened, contributed)
            self._save(position=asdict(after), model=batch.model or self._state.get("model"))
        if model := self._state.get("model"):
            self._tracker.add_files(opened, _existing({MODEL_NAME: Path(model)}))
            self._save(model=None)
        if self._state.get("problem"):
            self._save(problem=None)
        if ending is not None:
            self._end(opened, ending)
        return ending is not None

    def _open(self, batch: Batch) -> Opened:
        if self._opened is None:
            known = self._state.get("id", "" if "opening" in self._state else None)
            self._save(opening=True)
            self._opened = self._tracker.open(self._run, known, batch.tags.get("fair.zenml_run"))
            self._save(id=self._opened.id)
            self._note(self._opened, RUNNING)
        return self._opened

    def _contributed(self, position: Position, *, final: bool) -> tuple[Batch, Position]:
        try:
            return read_contributed(self._entry.contributed_path, position)
        except Exception:
            # A file that is being written; at the end nobody writes any more.
            if final:
                raise
            return Batch(), position

    def _end(self, opened: Opened, ending: Ending) -> None:
        self._tracker.add_files(opened, _existing(contributed_files(self._entry.contributed_path)))
        self._tracker.close(opened, ending, self._entry.ended())
        self._note(opened, ending)

    def _note(self, opened: Opened, status: str) -> None:
        Note(self._tracker.name, opened.id, opened.url, status).write(Path(self._run.note), self._run.key)

    def _save(self, **changed: Any) -> None:
        self._state = {**self._state, **changed}
        self._entry.save_sent(self._state)


def follow(entry: Entry, run: TrackedRun, settings: Settings) -> bool:
    """Send a training until it has ended and all is sent; False when the tracker stayed away after its end."""
    sending: Sending | None = None
    tracker: Tracker | None = None
    pause, deadline = _FIRST_PAUSE, float("inf")
    while True:
        try:
            tracker = tracker or open_tracker(settings)
            sending = sending or Sending(entry, run, tracker)
            if sending.step():
                return True
            pause = _FIRST_PAUSE
            time.sleep(POLL_SECONDS)
            continue
        except Exception as error:
            # The tracker's client raises what it likes, and a training must hear of none of it.
            _say(entry, error)
        sending = None
        entry.end_if_owner_is_gone(run)
        if entry.ending() is not None and deadline == float("inf"):
            deadline = time.monotonic() + _GIVE_UP_SECONDS
        if time.monotonic() + pause > deadline:
            return False
        _wait(entry, pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def send_left(settings: Settings, outbox: Iterable[Entry]) -> list[tuple[Entry, str]]:
    """Send what earlier trainings have left; returns what could not be sent, with the reason. Stops at the first."""
    tracker: Tracker | None = None
    for entry in outbox:
        try:
            with FileLock(entry.lock_path, timeout=0):
                tracker = tracker or open_tracker(settings)
                if _send_one(entry, tracker):
                    entry.remove()
        except Timeout:
            # Somebody is sending it.
            continue
        except Exception as error:
            return [(entry, _say(entry, error))]
    return []


def _send_one(entry: Entry, tracker: Tracker) -> bool:
    """Whether the entry is done with."""
    if (amendment := entry.amendment()) is not None:
        tracker.amend(amendment)
        return True
    run = entry.run()
    if run is None:
        return False
    entry.end_if_owner_is_gone(run)
    return entry.ending() is not None and Sending(entry, run, tracker).step()


def _say(entry: Entry, error: Exception) -> str:
    problem = redacted(str(error) if isinstance(error, FairError) else f"{type(error).__name__}: {error}")
    logging.getLogger(__name__).warning("%s: %s", entry.folder.name, problem)
    if entry.folder.is_dir():
        entry.save_sent({**entry.sent(), "problem": problem})
    return problem


def _wait(entry: Entry, seconds: float) -> None:
    """Wait, but hear of the end of a training at once."""
    ended, until = entry.ending(), time.monotonic() + seconds
    while time.monotonic() < until and entry.ending() == ended:
        time.sleep(POLL_SECONDS)


def _existing(files: dict[str, Path]) -> dict[str, Path]:
    return {name: path for name, path in files.items() if path.exists()}


def main(arguments: list[str]) -> int:
    """Exit code 0: all was sent; 1: something is left in the outbox."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    os.nice(5)  # A training comes first.
    settings = Settings()
    outbox = settings.tracking_path / "outbox"
    if arguments:
        entry = Entry(Path(arguments[0]))
        with FileLock(entry.lock_path):
            run = entry.run()
            if run is not None:
                if not follow(entry, run, settings):
                    return 1
                entry.remove()
    return 1 if send_left(settings, entries(outbox)) else 0


if __name__ == "__main__":
    from fair_dagster.net.processes import leave

    leave(main(sys.argv[1:]))

"""What is to be done about failed runs, as a queue that outlives a tick. Pure: events in, queue out.

Every failed run is told to somebody once, and ended in ZenML once. Both may fail for hours, each on its own, so each
has a list; a run leaves it when it is done. Reading the runs and acting on them stands in ``runs.failures``.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum

OVERLAP = 200
"""Numbers of events that are read again: a database may show a lower number after a higher one."""
FULL = 1000
"""With so many runs to tell, no more are taken up; they stay in the event log."""
_PATIENCE = timedelta(minutes=10)
"""How long a retry that Dagster has announced may take to appear."""


@dataclass(frozen=True)
class FailureEvent:
    """That a run failed: the number of the event in the log, and the run's id."""

    number: int
    run_id: str


@dataclass(frozen=True)
class Queue:
    """Where reading stands, and what is left to do.

    Attributes:
        position: the highest event number that was read.
        seen: runs of the events within ``OVERLAP`` of it, by event number.
        untold: runs that nobody has heard of yet, the oldest first.
        unended: runs whose ZenML runs may still count as running.
        retrying: runs that Dagster will retry, with the moment since which we know.
    """

    position: int
    seen: Mapping[int, str] = field(default_factory=dict)
    untold: tuple[str, ...] = ()
    unended: tuple[str, ...] = ()
    retrying: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, cursor: str | None) -> "Queue | None":
        """The inverse of ``dump``; None for anything else."""
        try:
            document = json.loads(cursor or "")
            return cls(
                position=int(document["position"]),
                seen={int(number): str(run_id) for number, run_id in document["seen"].items()},
                untold=tuple(map(str, document["untold"])),
                unended=tuple(map(str, document["unended"])),
                retrying={str(run_id): str(since) for run_id, since in document["retrying"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def dump(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @property
    def read_after(self) -> int:
        """Events with a higher number than this are to be read."""
        return max(self.position - OVERLAP, -1)

    def take(self, events: Sequence[FailureEvent]) -> "Queue":
        """Add the runs of ``events`` (in order) that are new; nothing when the queue is full."""
        if len(self.untold) >= FULL:
            return self
        known = {*self.seen.values(), *self.untold}
        new = tuple(dict.fromkeys(event.run_id for event in events if event.run_id not in known))
        position = max([self.position, *(event.number for event in events)])
        seen = {**self.seen, **{event.number: event.run_id for event in events}}
        return replace(
            self,
            position=position,
            seen={number: run_id for number, run_id in seen.items() if number > position - OVERLAP},
            untold=self.untold + new,
            unended=self.unended + new,
        )

    def told(self, run_id: str) -> "Queue":
        retrying = {known: since for known, since in self.retrying.items() if known != run_id}
        return replace(self, untold=_without(self.untold, run_id), retrying=retrying)

    def ended(self, run_id: str) -> "Queue":
        return replace(self, unended=_without(self.unended, run_id))

    def awaits_retry(self, run_id: str, now: datetime) -> "Queue":
        return replace(self, retrying={**self.retrying, run_id: self.retrying.get(run_id, now.isoformat())})


class Telling(Enum):
    """What a failed run asks for."""

    TELL = "tell"
    WAIT = "wait"
    DROP = "drop"


def telling(*, will_retry: bool, retried: bool, known_since: datetime | None, now: datetime) -> Telling:
    """Whether people are to hear of a failed run.

    Args:
        will_retry: Dagster has announced to run it once more.
        retried: it has done so; then the retry speaks for both.
        known_since: since when we wait for the retry; None when we do not yet.
    """
    if not will_retry:
        return Telling.TELL
    if retried:
        return Telling.DROP
    return Telling.TELL if known_since is not None and now - known_since > _PATIENCE else Telling.WAIT


def _without(run_ids: Collection[str], run_id: str) -> tuple[str, ...]:
    return tuple(known for known in run_ids if known != run_id)

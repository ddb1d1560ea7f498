"""A step that was handed to the workers, as dagster-celery's loop looks at it: ready, its events, revoked.

``decide`` says what is to be done; everything that happens goes through the functions a ``RemoteStep`` is given.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import dagster as dg
import redis
from celery.exceptions import TaskRevokedError
from dagster._serdes import serialize_value
from kombu.exceptions import OperationalError

from fair_dagster.domain.errors import PipelineError, ServiceError
from fair_dagster.orchestration.workers.broker import RENEW_SECONDS, Note, State, StepNotes, address
from fair_dagster.orchestration.workers.step_log import StepLog

OUTAGE_SECONDS = 600.0
"""How long a run waits for a broker that does not answer before it fails."""
UNTAKEN_SECONDS = 60.0
GRACE_SECONDS = 3.0 * RENEW_SECONDS
"""How long a note has to be gone: a worker that was cut off renews its claim meanwhile."""
EXECUTIONS = 3
"""How often a step is begun in all when the process that executes it dies each time."""
_UNREACHABLE = (redis.RedisError, OperationalError)
_REFUSALS = (redis.AuthenticationError, redis.exceptions.NoPermissionError)


class Move(Enum):
    """What to do about a step."""

    WAIT = "wait"
    LOOK = "look"
    """Dagster's log says whether it has ended."""
    FAIL = "fail"


def decide(note: Note, gone_for: float) -> Move:
    """What a step's note asks for.

    Args:
        gone_for: seconds that the note has been gone while Redis answered.
    """
    if note.state is State.FAILED:
        return Move.FAIL
    if note.state is State.DONE or (note.state is State.GONE and gone_for >= GRACE_SECONDS):
        return Move.LOOK
    return Move.WAIT


@dataclass
class _Outcome:
    events: Sequence[dg.DagsterEvent] = ()
    error: Exception | None = None


class RemoteStep:
    """Has the methods of Celery's ``AsyncResult`` that the loop calls. No method raises but ``get``.

    Args:
        name: the key of its note.
        send: hands it to Celery.
        log: reads what Dagster's log says of it.
        tell: writes a line into the run's log.
        broker: the URL that is named, without its password, when it does not answer.
        queue: what workers take it from.
    """

    def __init__(
        self,
        name: str,
        *,
        send: Callable[[], None],
        notes: StepNotes,
        log: Callable[[], StepLog],
        tell: Callable[[str], object],
        broker: str,
        queue: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._send, self._notes, self._log, self._tell = name, send, notes, log, tell
        self._broker, self._queue, self._clock = broker, queue, clock
        self._untaken_since: float | None = clock()
        self._is_sent = self._is_revoked = False
        self._silent_since: float | None = None
        self._gone_since: float | None = None
        self._outcome: _Outcome | None = None
        self.ready()

    def ready(self) -> bool:
        """Whether the step has ended, or will not be executed any more. Looks after it on the way."""
        if self._outcome is None:
            try:
                self._look()
            except _UNREACHABLE as error:
                self._endure(error)
            else:
                self._silent_since = None
        return self._outcome is not None

    def get(self) -> list[str]:
        """The events of the step, as dagster-celery's task would have returned them.

        Raises:
            PipelineError: it could not be executed.
            ServiceError: the broker did not answer.
        """
        outcome = self._outcome or _Outcome()
        if outcome.error is not None:
            raise outcome.error
        return [serialize_value(event) for event in outcome.events]

    @property
    def error(self) -> Exception | None:
        """Why it could not be executed; None as well for a step that was, whatever came of it."""
        return self._outcome.error if self._outcome is not None else None

    def revoke(self) -> None:
        """Let the worker that has it end it; one that has not begun does not begin."""
        self._is_revoked = True

    def _look(self) -> None:
        note = self._notes.read(self._name)
        if self._is_revoked:
            self._notes.stop(self._name)
        elif not self._is_sent:
            self._hand_out()
            return
        if self._is_revoked and note.state in (State.QUEUED, State.GONE):
            self._outcome = _Outcome(error=TaskRevokedError(self._name))
            return
        self._ask_for_workers(note)
        move = decide(note, self._gone_for(note))
        if move is Move.FAIL:
            self._outcome = _Outcome(error=PipelineError(f"a worker could not execute the step: {note.detail}"))
        elif move is Move.LOOK:
            self._conclude()

    def _gone_for(self, note: Note) -> float:
        """Seconds that the note has been gone while Redis answered."""
        if note.state is not State.GONE:
            self._gone_since = None
            return 0.0
        if self._gone_since is None:
            self._gone_since = self._clock()
        return self._clock() - self._gone_since

    def _ask_for_workers(self, note: Note) -> None:
        """Say once when nobody takes the step: a run that waits without a word looks as if it were at work."""
        if note.state is not State.QUEUED:
            self._untaken_since = None
        elif self._untaken_since is not None and self._clock() - self._untaken_since >= UNTAKEN_SECONDS:
            self._untaken_since = None
            advice = "`fair-dagster worker list` shows the workers that answer, and their queues"
            self._tell(f"No worker has taken the step from queue {self._queue!r} yet; {advice}.")

    def _hand_out(self) -> None:
        self._send()
        self._notes.queued(self._name)
        self._is_sent, self._gone_since = True, None

    def _conclude(self) -> None:
        """It has ended; or it was lost, and is handed out again."""
        log = self._log()
        # A process may die before Dagster has begun the step.
        begun = max(log.begun, self._notes.claims(self._name))
        if log.has_ended:
            self._outcome = _Outcome(log.outcome)
        elif begun >= EXECUTIONS:
            reason = f"the step was begun {begun} times, and each time its worker died"
            self._outcome = _Outcome(error=PipelineError(f"{reason}; look for what kills it: memory, usually"))
        else:
            lost = "the worker that had begun it is gone" if begun else "the broker has forgotten it"
            self._hand_out()
            self._tell(f"Handed out again: {lost}.")

    def _endure(self, error: Exception) -> None:
        """Wait for a broker that is away, for so long and no longer; one that refuses us will not change its mind."""
        self._gone_since = None
        now, where = self._clock(), f"the broker {address(self._broker)}"
        if isinstance(error, _REFUSALS):
            refused = f"{where} refuses the user or password of FAIR_BROKER_URL ({error})"
            self._outcome = _Outcome(error=ServiceError(refused))
        elif self._silent_since is None:
            self._silent_since = now
            self._tell(f"{where[0].upper()}{where[1:]} does not answer; waiting for it.")
        elif now - self._silent_since >= OUTAGE_SECONDS:
            silent = f"{where} has not answered for {OUTAGE_SECONDS / 60:.0f} minutes"
            self._outcome = _Outcome(error=ServiceError(f"{silent} ({type(error).__name__}): start Redis"))

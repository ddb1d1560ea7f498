"""What Dagster's event log says of one step of a run. It alone decides whether a step has ended."""

from collections.abc import Sequence

import dagster as dg

_BEGINNINGS = (dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_RESTARTED)
_ENDINGS = (
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_UP_FOR_RETRY,
)
_TELLING = {*_BEGINNINGS, *_ENDINGS, dg.DagsterEventType.STEP_OUTPUT}


class StepLog:
    """The events of a step that decide what comes after it, in order; read anew for each object.

    Args:
        retries: how often Dagster's own rules have begun the step again; events of other attempts do not count.
    """

    def __init__(self, instance: dg.DagsterInstance, run_id: str, step_key: str, retries: int = 0) -> None:
        entries = instance.all_logs(run_id, of_type=_TELLING)
        events = [entry.dagster_event for entry in entries if entry.dagster_event is not None]
        attempts: list[list[dg.DagsterEvent]] = [[]]
        for event in events:
            if event.step_key == step_key:
                attempts[-1].append(event)
                if event.is_step_up_for_retry:
                    attempts.append([])
        self._events = attempts[retries] if retries < len(attempts) else []

    @property
    def begun(self) -> int:
        """How often a process has begun to execute it."""
        return sum(event.event_type in _BEGINNINGS for event in self._events)

    @property
    def has_ended(self) -> bool:
        return bool(self._events) and self._events[-1].event_type in _ENDINGS

    @property
    def outcome(self) -> Sequence[dg.DagsterEvent]:
        """What the execution that ended has told: its outputs and its end. Those that were cut off do not count."""
        starts = [number for number, event in enumerate(self._events) if event.event_type in _BEGINNINGS]
        return self._events[starts[-1] :] if starts else self._events

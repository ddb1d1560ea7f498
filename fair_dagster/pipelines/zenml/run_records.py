"""What a ZenML run looks like to the rest of the system. Pure data and pure rules; no client here."""

import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from fair_dagster.domain.causes import telling_lines

FINISHED = frozenset({"completed", "failed", "cached", "skipped", "retried", "stopped", "cancelled"})
SUCCESSFUL = frozenset({"completed", "cached", "skipped"})
_CAUSE_LINES = 8


@dataclass(frozen=True)
class StepRecord:
    """One step of a run. ``seconds`` is None until it has ended; ``cause`` is set when it failed."""

    name: str
    status: str
    started: datetime | None = None
    seconds: float | None = None
    cause: str | None = None


@dataclass(frozen=True)
class RunRecord:
    """One ZenML run.

    Attributes:
        id: ZenML's UUID.
        status: ZenML's word, e.g. ``running``, ``completed``, ``failed``, ``stopped``.
        model, version: the model version it fills; None for a run without a model.
        started: aware, in UTC.
        seconds: duration, or time since the start while it runs.
        steps: in the order in which they started; empty in listings.
    """

    id: str
    name: str
    status: str
    pipeline: str
    model: str | None
    version: int | None
    started: datetime | None
    seconds: float | None
    steps: tuple[StepRecord, ...] = ()

    @property
    def finished(self) -> bool:
        return self.status in FINISHED

    @property
    def successful(self) -> bool:
        return self.status in SUCCESSFUL


@dataclass(frozen=True)
class LogLine:
    """One line of a log. ``step`` is None for what the run wrote outside its steps."""

    step: str | None
    level: str
    time: datetime | None
    message: str


def select_lines(lines: Iterable[LogLine], *, tail: int | None, since: datetime | None) -> list[LogLine]:
    """The last ``tail`` lines at or after ``since`` (aware), in order of time; all of them without limits."""
    chosen = [line for line in lines if since is None or (line.time is not None and line.time >= since)]
    # Stable: lines without a time stay where they were written.
    chosen.sort(key=lambda line: line.time.timestamp() if line.time else 0.0)
    return chosen if tail is None else chosen[max(len(chosen) - tail, 0) :]


def describe_exception(kind: str | None, message: str | None, trace: str) -> str:
    """Type, message and the last lines of a traceback, which are those of the step's own code."""
    name = (kind or "Exception").rpartition(".")[2]
    headline = f"{name}: {message}" if message else name
    # Carets under the code and the headline itself say nothing new.
    lines = [line for line in trace.rstrip().splitlines() if line.strip(" ~^")]
    headline_lines = set(headline.splitlines())
    lines = [line for line in lines if line not in headline_lines]
    return "\n".join([headline, *lines[-_CAUSE_LINES:]])


def describe_error(error: BaseException) -> str:
    """``describe_exception`` of an exception at hand, or of what it wraps: ZenML raises bare ``RuntimeError``s."""
    while type(error) is RuntimeError and error.__cause__ is not None:
        error = error.__cause__
    lines = "".join(traceback.format_exception(error))
    return describe_exception(type(error).__name__, str(error) or None, lines)


def logged_cause(lines: Sequence[LogLine]) -> tuple[str | None, str] | None:
    """Step and text of the first error in a log, for steps that failed before ZenML could keep their exception."""
    error = next((line for line in lines if line.level in {"ERROR", "CRITICAL"} and line.message.strip()), None)
    if error is None:
        return None
    said = [
        line.message for line in lines[lines.index(error) :] if line.level == error.level and line.step == error.step
    ]
    return error.step, "\n".join(telling_lines("\n".join(said)))


def first_cause(steps: Sequence[StepRecord]) -> tuple[str, str] | None:
    """Name and cause of the step that failed first; later ones may have failed because of it."""
    return next(((step.name, step.cause) for step in steps if step.cause), None)

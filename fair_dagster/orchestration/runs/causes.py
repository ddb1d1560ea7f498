"""Why a Dagster run did not succeed, in one sentence for people, and the end of what its failed step printed.

Reads the events and captured output of a run; what becomes of the run is the business of ``runs`` and ``failures``.
"""

import logging
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, Queue
from typing import TypeVar, cast

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from fair_dagster.domain import errors
from fair_dagster.domain.causes import in_our_words, printed_by_step, telling_lines
from fair_dagster.flows.run_files import OUTPUT_FILE, STOPPED_FILE, launch_folder
from fair_dagster.settings import Settings

_OUTPUT_CHARACTERS = 2000
_TAIL_BYTES = 64_000
LOG_SECONDS = 5.0
"""How long captured output is waited for. It may lie in a bucket that neither answers nor fails."""
_FROM_OUTSIDE = "This run has been marked as failed from outside"
"""Dagster says so when its code server finds a process dead; what it found is the event before."""

T = TypeVar("T")


@dataclass(frozen=True)
class FailedStep:
    """The step that failed first. ``log_key`` is where its output was captured; empty when it was not."""

    key: str
    error: SerializableErrorInfo | None
    log_key: Sequence[str] = ()


def failure_cause(settings: Settings, instance: dg.DagsterInstance, run_id: str) -> str:
    """Why a run did not succeed: our own error in the first failed step, else its innermost, or its last output."""
    run = instance.get_run_by_id(run_id)
    stopped = run is None and (launch_folder(settings, run_id) / STOPPED_FILE).exists()
    if stopped or (run is not None and run.status == dg.DagsterRunStatus.CANCELED):
        return "it was stopped"
    step = failed_step(instance, run_id)
    if step is not None and step.error is not None:
        error = find_telling_error(step.error)
        is_unexplained = error.cls_name == errors.UnexplainedError.__name__
        cause = format_cause(error)
        return _with_log(instance, cause, step.log_key) if is_unexplained else cause
    if ended := _end_of_run(instance, run_id):
        return ended
    return output_of(settings, run_id)[-_OUTPUT_CHARACTERS:].strip() or "it left no trace of a cause"


def failed_step(instance: dg.DagsterInstance, run_id: str) -> FailedStep | None:
    """The step that failed first; None when the run ended otherwise."""
    failures = _events(instance, run_id, dg.DagsterEventType.STEP_FAILURE)
    if not failures:
        return None
    event = failures[0].event_log_entry.dagster_event
    if event is None or event.step_key is None:
        return None
    return FailedStep(event.step_key, event.step_failure_data.error, _log_key(instance, run_id, event.step_key))


def log_tail(settings: Settings, instance: dg.DagsterInstance, run_id: str, lines: int) -> list[str]:
    """The last lines that the failed step printed, or the last step of a run whose process was killed."""
    step = failed_step(instance, run_id)
    log_key = step.log_key if step is not None else _log_key(instance, run_id, None)
    return (_read_captured(instance, log_key) or output_of(settings, run_id)).rstrip().splitlines()[-lines:]


def output_of(settings: Settings, run_id: str) -> str:
    """What the process of a run printed; empty for one that has no process of its own."""
    output = launch_folder(settings, run_id) / OUTPUT_FILE
    return output.read_text(errors="replace") if output.is_file() else ""


def find_telling_error(error: SerializableErrorInfo) -> SerializableErrorInfo:
    """The link of a chain of errors that says most: of ours it is the outermost, of others the innermost."""
    chain = [error]
    while chain[-1].cause is not None:
        chain.append(chain[-1].cause)
    return next((link for link in chain if _is_ours(link)), chain[-1])


def _is_ours(error: SerializableErrorInfo) -> bool:
    kind = getattr(errors, error.cls_name or "", None)
    return isinstance(kind, type) and issubclass(kind, errors.FairError)


def format_cause(error: SerializableErrorInfo) -> str:
    """The sentence of an error that Dagster kept; Dagster puts the class, with its module for ours, before it."""
    return in_our_words(re.sub(rf"^([\w.]+\.)?{re.escape(error.cls_name or '')}: ", "", error.message.strip()))


def _with_log(instance: dg.DagsterInstance, cause: str, log_key: Sequence[str]) -> str:
    """A cause that only points to the log, with what stands there; as it is where the log cannot be read."""
    try:
        lines = telling_lines(_read_captured(instance, log_key))
    except Exception as error:
        # Logs may lie in a bucket, whose client raises what it likes.
        logging.getLogger(__name__).warning("the log %s cannot be read: %s", "/".join(log_key), error)
        return cause
    return cause.removesuffix(errors.SEE_LOG) + "the last it printed:\n" + "\n".join(lines) if lines else cause


def _end_of_run(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """Why a run ended in which no step failed: its own error, or what Dagster noted of its process before."""
    kinds = {dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.ENGINE_EVENT}
    noted = ""
    for record in instance.get_records_for_run(run_id, of_type=kinds).records:
        event = record.event_log_entry.dagster_event
        if event is None:
            continue
        if event.event_type != dg.DagsterEventType.RUN_FAILURE:
            noted = event.message or noted
            continue
        # Absent for a run that was marked as failed.
        if (error := getattr(event.event_specific_data, "error", None)) is not None:
            return format_cause(find_telling_error(error))
        from_outside = not event.message or event.message.startswith(_FROM_OUTSIDE)
        return re.sub(r"^\[\w+\] ", "", noted) if from_outside and noted else event.message
    return None


def _read_captured(instance: dg.DagsterInstance, log_key: Sequence[str]) -> str:
    """The end of a step's standard error, or of its standard output when there is nothing."""
    if not log_key:
        return ""
    data = _in_time(lambda: instance.compute_log_manager.get_log_data(log_key), "/".join(log_key))
    streams = (stream[-_TAIL_BYTES:].decode(errors="replace") for stream in (data.stderr, data.stdout) if stream)
    return next((printed for stream in streams if (printed := printed_by_step(stream)).strip()), "")


def _in_time(read: Callable[[], T], what: str) -> T:
    """What ``read`` gives, or its error; a thread that goes on waiting is left alone and ends with the process.

    Raises:
        ServiceError: it took too long.
    """
    answer: Queue[tuple[T | None, Exception | None]] = Queue(1)

    def ask() -> None:
        try:
            answer.put((read(), None))
        except Exception as error:
            answer.put((None, error))

    threading.Thread(target=ask, daemon=True).start()
    try:
        found, error = answer.get(timeout=LOG_SECONDS)
    except Empty:
        raise errors.ServiceError(f"the log {what} did not come within {LOG_SECONDS:g} s: is its place away?") from None
    if error is not None:
        raise error
    return cast(T, found)


def _log_key(instance: dg.DagsterInstance, run_id: str, step_key: str | None) -> Sequence[str]:
    """Where the output of a step was captured, or of the last one."""
    for record in reversed(_events(instance, run_id, dg.DagsterEventType.LOGS_CAPTURED)):
        event = record.event_log_entry.dagster_event
        captured = event.logs_captured_data if event is not None else None
        if captured is not None and (step_key is None or step_key in (captured.step_keys or ())):
            return instance.compute_log_manager.build_log_key_for_run(run_id, captured.file_key)
    return ()


def _events(instance: dg.DagsterInstance, run_id: str, event_type: dg.DagsterEventType) -> Sequence[dg.EventLogRecord]:
    return instance.get_records_for_run(run_id, of_type=event_type).records

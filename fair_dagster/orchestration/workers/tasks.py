"""The Celery task around a step: executed by one worker at a time, not again when it has ended, and only for a run that
goes on.

The step itself is executed by dagster-celery's own task. Nothing here is imported but by a worker.
"""

import logging
import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import redis
from celery import Task
from celery.exceptions import Ignore

# What dagster-celery sends is packed by these; they are exported nowhere.
from dagster._grpc.types import ExecuteStepArgs
from dagster._serdes import pack_value, unpack_value
from dagster_shared.record import copy

from fair_dagster.domain.errors import FairError, ServiceError
from fair_dagster.domain.urls import redacted
from fair_dagster.flows.base_models.branch import Repository, current_checkout
from fair_dagster.orchestration.instance import open_instance
from fair_dagster.orchestration.workers.broker import RENEW_SECONDS, Note, State, StepNotes, require_broker, step_name
from fair_dagster.orchestration.workers.step_log import StepLog
from fair_dagster.orchestration.workers.watch import Watch
from fair_dagster.settings import Settings

_LOG = logging.getLogger(__name__)
_GOING = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)
_BROKER_PAUSE_SECONDS = 2.0


class StepTask(Task):  # type: ignore[misc]  # Celery has no types
    """What is around dagster-celery's task ``execute_plan``, whose arguments it has."""

    def __call__(self, execute_step_args_packed: dict[str, Any], executable_dict: dict[str, Any]) -> None:
        arguments = unpack_value(execute_step_args_packed, as_type=ExecuteStepArgs)
        settings = Settings()
        notes = StepNotes(require_broker(settings))
        step = _name_of(arguments)
        worker = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
        if (self.request.delivery_info or {}).get("redelivered"):
            # Whoever had it may be alive and about to renew a claim that ran out while the broker was away.
            time.sleep(2 * RENEW_SECONDS)
        if _claim(notes, step, worker).state is not State.RUNNING:
            _LOG.info("%s came again: it has ended, or another worker is at it", step)
            raise Ignore
        with noted(notes, step, worker), signals_as_they_were(), open_instance(settings) as instance:
            if is_due(notes, instance, arguments, step):
                _follow_branch(settings)
                # The paths in the instance of the machine that sent it are of that machine.
                packed = pack_value(copy(arguments, instance_ref=instance.get_ref()))
                with Watch(notes, step, worker, lambda: _goes_on(instance, arguments.run_id)):
                    self.run(packed, executable_dict)


@contextmanager
def noted(notes: StepNotes, step: str, worker: str) -> Iterator[None]:
    """Note how the block ends that executes a step: the run's process waits for that."""
    try:
        yield
    except Exception as error:
        cause = str(error) if isinstance(error, FairError) else f"{type(error).__name__}: {error}"
        _tell(lambda: notes.failed(step, f"on {socket.gethostname()}: {redacted(cause)}"))
        raise
    except BaseException:
        # Interrupted, and Dagster's log says so. Another worker may have the step by now.
        _tell(lambda: notes.done(step) if notes.take(step, worker).detail == worker else None)
        raise
    _tell(lambda: notes.done(step))


@contextmanager
def signals_as_they_were() -> Iterator[None]:
    """Put back what SIGINT and SIGTERM do.

    Dagster leaves SIGTERM like SIGINT, which Celery's processes ignore: their parent could not end them.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _name_of(arguments: ExecuteStepArgs) -> str:
    (key,) = arguments.step_keys_to_execute or ()
    return step_name(arguments.run_id, key, _attempt(arguments, key))


def _attempt(arguments: ExecuteStepArgs, key: str) -> int:
    state = arguments.known_state
    return state.get_retry_state().get_attempt_count(key) if state is not None else 0


def _claim(notes: StepNotes, step: str, worker: str) -> Note:
    """Claim the step. A message that is given up here would be lost, so this waits for as long as Redis is away."""
    while True:
        try:
            note = notes.take(step, worker)
        except redis.RedisError as error:
            _LOG.warning("%s waits for the broker: %s", step, error)
            time.sleep(_BROKER_PAUSE_SECONDS)
        else:
            # Another worker's claim tells nothing of who it is.
            return note if note.detail == worker else Note(State.DONE)


def is_due(notes: StepNotes, instance: dg.DagsterInstance, arguments: ExecuteStepArgs, step: str) -> bool:
    """Whether the step still has to be executed: the run goes on, and nobody has executed it before."""
    (key,) = arguments.step_keys_to_execute or ()
    if _is_stopped(notes, step) or not _goes_on(instance, arguments.run_id):
        return False
    return not StepLog(instance, arguments.run_id, key, _attempt(arguments, key)).has_ended


def _is_stopped(notes: StepNotes, step: str) -> bool:
    try:
        return notes.is_stopped(step)
    except redis.RedisError as error:
        # The watch beside the step asks again.
        _LOG.warning("the broker does not answer (%s); %s begins", error, step)
        return False


def _goes_on(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status in _GOING


def _follow_branch(settings: Settings) -> None:
    """Have the base models of the branch's head, as the machine has that sent the step.

    Raises:
        ServiceError: the repository cannot be read, and nothing of it was read before.
    """
    if not settings.follows_branch:
        return
    try:
        repository = Repository(settings)
        repository.checkout(repository.fetch())
    except ServiceError as error:
        if current_checkout(settings.repository_path) is None:
            raise
        _LOG.warning("the base models are as they were: %s", error)


def _tell(act: Callable[[], None]) -> None:
    """Note how it ended. Where that fails the claim runs out, and whoever waits looks into Dagster's log."""
    try:
        act()
    except redis.RedisError as error:
        _LOG.warning("the broker could not be told of a step's end: %s", error)

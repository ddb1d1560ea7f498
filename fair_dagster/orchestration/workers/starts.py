"""Runs that were sent to the workers and never begun: those that wait, and those that Redis or a worker has lost.

Dagster asks its launcher about runs that have begun, and of the others counts the minutes only. A run that waits for a
free worker may wait for hours; one whose message is gone would as well.
"""

import time
from collections.abc import Callable

import dagster as dg
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from fair_dagster.orchestration.process_tags import machine_of
from fair_dagster.orchestration.workers.launcher import WorkerRunLauncher, queue_of
from fair_dagster.orchestration.workers.presence import MISSES

UNTAKEN_SECONDS = 60.0
_PAUSE_SECONDS = 4.5
_LOOKED_AT = 100
_UNTAKEN = "No worker has taken the run from queue"


def end_lost_starts(
    instance: dg.DagsterInstance, launcher: WorkerRunLauncher, pause: Callable[[float], None] = time.sleep
) -> list[str]:
    """Report runs as failed that no worker has begun and that do not wait in Redis either; returns their ids.

    Dagster launches them again (``run_retries``). One that waits says so once in its log.

    Raises:
        ServiceError: the broker does not answer.
    """
    stranded = []
    for run in _late_starts(instance):
        if machine_of(run) is None and launcher.waiting(queue_of(run)):
            _tell_that_it_waits(instance, run)
        else:
            stranded.append(run)
    missed: list[dg.DagsterRun] = []
    for look in range(MISSES if stranded else 0):
        if look:
            pause(_PAUSE_SECONDS)
        missed = [run for run in stranded if launcher.is_missed(run.tags.get(DAGSTER_CELERY_TASK_ID_TAG, ""))]
    return [run.run_id for run in missed if _end(instance, run.run_id)]


def _late_starts(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Runs that were launched a minute ago or longer and have not begun."""
    before = time.time() - UNTAKEN_SECONDS
    starting = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING]), limit=_LOOKED_AT)
    return [run for run in starting if (instance.get_run_stats(run.run_id).launch_time or before) <= before]


def _tell_that_it_waits(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """A run that waits without a word looks as if it were at work."""
    events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    if not any(event.message.startswith(_UNTAKEN) for event in events):
        advice = "`fair-dagster worker list` shows the workers that answer, and their queues"
        instance.report_engine_event(f"{_UNTAKEN} {queue_of(run)!r} yet; {advice}.", run)


def _end(instance: dg.DagsterInstance, run_id: str) -> bool:
    # It may have begun since it was looked up.
    run = instance.get_run_by_id(run_id)
    if run is None or run.status != dg.DagsterRunStatus.STARTING:
        return False
    instance.report_run_failed(run, "no worker has begun it, and Redis has it no more")
    return True

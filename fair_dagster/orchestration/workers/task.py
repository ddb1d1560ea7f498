"""What a worker does around a run: begin it once, follow the branch, end with the worker, heed a stop.

The run itself is executed by dagster-celery's own task, and any other launcher executes it alike. Nothing here is
imported but by a worker.
"""

import logging
import signal
import socket
from typing import Any

import dagster as dg
from celery import Task

from fair_dagster.domain.errors import FairError, ServiceError
from fair_dagster.domain.urls import redact
from fair_dagster.flows.base_models.branch import Repository, current_checkout
from fair_dagster.net.processes import end_with_parent
from fair_dagster.orchestration.instance import open_instance
from fair_dagster.orchestration.process_tags import machine_of, note_process
from fair_dagster.orchestration.workers.private import run_of_message
from fair_dagster.orchestration.workers.watch import Watch
from fair_dagster.settings import Settings

_LOG = logging.getLogger(__name__)


class RunTask(Task):  # type: ignore[misc]  # Celery has no types
    """What is around dagster-celery's task ``execute_job``, whose argument it has."""

    def __call__(self, execute_job_args_packed: dict[str, Any]) -> None:
        run_id = run_of_message(execute_job_args_packed)
        # A worker that was killed would leave the run going on, and Dagster launches it again.
        end_with_parent(signal.SIGKILL)
        settings = Settings()
        with open_instance(settings) as instance:
            run = instance.get_run_by_id(run_id)
            if run is None or not is_due(run):
                _LOG.warning("run %s is not begun: it was begun before, or has ended", run_id)
                return
            note_process(instance, run)
            try:
                _follow_branch(settings)
            except FairError as error:
                where = socket.gethostname()
                instance.report_run_failed(run, f"a worker could not execute the run: on {where}: {redact(str(error))}")
                return
            with Watch(run_id, lambda: _goes_on(instance, run_id)):
                self.run(execute_job_args_packed)


def is_due(run: dg.DagsterRun) -> bool:
    """Whether a run that came from Redis is to be begun: it was launched, and no worker has begun it.

    A message comes twice where the broker was away while a worker acknowledged it, and late where its run has failed or
    was stopped meanwhile.
    """
    return run.status == dg.DagsterRunStatus.STARTING and machine_of(run) is None


def _goes_on(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status in {dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED}


def _follow_branch(settings: Settings) -> None:
    """Have the base models of the branch's head, as the machine has that launched the run.

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

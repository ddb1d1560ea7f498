"""Putting a run into Dagster's queue from the command line, and following it through the retries of lost workers."""

import time

import dagster as dg

from fair_dagster.domain.errors import ServiceError
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.runs.attempts import WILL_RETRY, awaits_retry, last_attempt
from fair_dagster.orchestration.runs.launches import Launch
from fair_dagster.orchestration.workers.private import job_origin

_POLL_SECONDS = 1.0
_UNDECIDED_SECONDS = 30.0
_DAEMON = "QUEUED_RUN_COORDINATOR"
_DAEMON_SECONDS = 300.0
"""A daemon that is being replaced is silent for so long."""


def submit(instance: dg.DagsterInstance, job: dg.JobDefinition, code: object, launch: Launch) -> None:
    """Queue ``launch``, as the UI would.

    Args:
        code: Dagster's origin of the code, by which a worker loads the job.

    Raises:
        ServiceError: no daemon takes runs from the queue.
    """
    _require_daemon(instance)
    partition = {"dagster/partition": launch.partition} if launch.partition else {}
    run = instance.create_run_for_job(
        job,
        run_id=launch.run_id,
        run_config=dict(launch.config),
        tags={**launch.tags, **partition},
        job_code_origin=code,  # type: ignore[arg-type]  # Its class is private.
        remote_job_origin=job_origin(keys.CODE_LOCATION, launch.job),
    )
    try:
        # The workspace is of use to launchers that ask a code server.
        instance.submit_run(run.run_id, None)  # type: ignore[arg-type]
    except BaseException:
        instance.delete_run(run.run_id)
        raise


def follow(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun:
    """Wait until a run has ended, or the run that Dagster launched in its place. Interrupted, it stops that run."""
    current = run_id
    failed_at: dict[str, float] = {}
    try:
        while True:
            current = last_attempt(instance, current)
            run = instance.get_run_by_id(current)
            if run is None:
                raise ServiceError(f"run {current} was deleted")
            if (
                run.status is dg.DagsterRunStatus.FAILURE
                and instance.run_retries_enabled
                and WILL_RETRY not in run.tags
            ):
                # Dagster says a moment after the failure whether it launches another run.
                since = failed_at.setdefault(current, time.monotonic())
                if time.monotonic() - since > _UNDECIDED_SECONDS:
                    return run
            elif run.is_finished and not awaits_retry(run):
                return run
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        instance.run_coordinator.cancel_run(current)
        raise


def _require_daemon(instance: dg.DagsterInstance) -> None:
    heartbeat = instance.get_daemon_heartbeats().get(_DAEMON)
    if heartbeat is None or time.time() - heartbeat.timestamp > _DAEMON_SECONDS:
        silent = "has never answered" if heartbeat is None else "has been silent for minutes"
        raise ServiceError(f"Dagster's daemon {silent}, and it hands runs to the workers: start `dagster-daemon run`")

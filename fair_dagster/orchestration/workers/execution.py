"""Executing a launched job by the Celery workers: this process queues the run, waits for it, and fetches its files."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg

from fair_dagster.domain.errors import PipelineError
from fair_dagster.flows import parcels
from fair_dagster.flows.services import Services
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.instance import open_instance
from fair_dagster.orchestration.run_config import config_of
from fair_dagster.orchestration.runs.causes import failure_cause
from fair_dagster.orchestration.runs.launches import Launch
from fair_dagster.orchestration.workers.app import require_launcher
from fair_dagster.orchestration.workers.submission import follow, submit
from fair_dagster.settings import Settings


def execute_elsewhere(settings: Settings, launch: Launch, job_of: Callable[[str], dg.JobDefinition]) -> None:
    """Execute ``launch`` on a worker.

    Args:
        job_of: gives the job of a name; a function of a module, by which other processes load it as well.

    Raises:
        PipelineError: the run failed; the message is the cause.
        RefusedError: Dagster's instance hands runs to no worker.
        ServiceError: no daemon takes runs from the queue.
        StorageError: what it made cannot be fetched.
    """
    job = dg.build_reconstructable_job(job_of.__module__, job_of.__name__, (launch.job,), {})
    code = job.get_python_origin()
    config = config_of(launch.config, keys.PREDICT_OP)
    services = Services(settings)
    try:
        require_launcher(settings)
        with open_instance(settings) as instance:
            submit(instance, job_of(launch.job), code, launch)
            ended = follow(instance, launch.run_id)
            if ended.status is not dg.DagsterRunStatus.SUCCESS:
                raise PipelineError(failure_cause(settings, instance, ended.run_id))
        if launch.job == keys.PREDICT_JOB:
            parcels.collect(services.artifacts, config["parcel"], Path(config["output"]))
    finally:
        if launch.job == keys.PREDICT_JOB:
            parcels.discard(services.artifacts, config["parcel"])

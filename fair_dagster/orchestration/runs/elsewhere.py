"""Executing a launched job by the Celery workers: this process waits for its steps, and lives and dies with the run."""

import os
from pathlib import Path

import dagster as dg
from dagster._core.execution.api import execute_run  # Executes a run of a given id; exported nowhere.

from fair_dagster.domain.errors import PipelineError
from fair_dagster.flows.finetunes import parcels
from fair_dagster.flows.services import Services
from fair_dagster.net.processes import Process
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.instance import open_instance
from fair_dagster.orchestration.run_config import config_of
from fair_dagster.orchestration.runs.causes import failure_cause
from fair_dagster.orchestration.runs.launches import Launch
from fair_dagster.orchestration.runs.process_tags import process_tag
from fair_dagster.settings import Settings


def job_of(name: str) -> dg.JobDefinition:
    """The job ``name`` of this machine's definitions; other processes load it by this function."""
    from fair_dagster.definitions import build_defs

    return build_defs(settings=Settings()).resolve_job_def(name)


def execute_elsewhere(settings: Settings, launch: Launch) -> None:
    """Execute ``launch``, its steps on the workers.

    Raises:
        PipelineError: the run failed; the message is the cause.
        StorageError: what it made cannot be fetched.
    """
    job = dg.build_reconstructable_job(__name__, job_of.__name__, (launch.job,), {})
    partition = {"dagster/partition": launch.partition} if launch.partition else {}
    config = config_of(launch.config, keys.PREDICT_OP)
    services = Services(settings)
    try:
        with open_instance(settings) as instance:
            definition = job_of(launch.job)
            run = instance.create_run_for_job(
                definition,
                run_id=launch.run_id,
                run_config=dict(launch.config),
                tags={**launch.tags, **partition, **process_tag(launch.run_id, Process.of(os.getpid()))},
                job_code_origin=job.get_python_origin(),
            )
            if not execute_run(job, run, instance).success:
                raise PipelineError(failure_cause(settings, instance, launch.run_id))
        if launch.job == keys.PREDICT_JOB:
            parcels.collect(services.artifacts, config["parcel"], Path(config["output"]))
    finally:
        if launch.job == keys.PREDICT_JOB:
            parcels.discard(services.artifacts, config["parcel"])

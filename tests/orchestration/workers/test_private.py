"""What ``workers`` relies on in Dagster beyond its public names; an upgrade that changes it fails here, by name."""

import inspect
from typing import Any

import dagster as dg
import pytest

pytest.importorskip("dagster_celery", reason="the extra `team` is not installed")

from dagster_celery import launcher as stock
from dagster_celery import tasks

from fair_dagster.orchestration.workers import private


def test_a_job_origin_names_the_code_location_and_the_job() -> None:
    origin = private.job_origin("fair-dagster", "predict")
    assert (origin.location_name, origin.job_name) == ("fair-dagster", "predict")
    assert origin.repository_origin.repository_name == dg.Definitions().get_repository_def().name


def test_a_run_is_launched_by_a_context_that_holds_it() -> None:
    assert private.LaunchRunContext._fields[0] == "dagster_run"
    assert private.CheckRunHealthResult._fields[:2] == ("status", "msg")
    assert {"RUNNING", "FAILED"} <= set(private.WorkerStatus.__members__)


def test_a_message_of_the_stock_launcher_names_its_run() -> None:
    from dagster._grpc.types import ExecuteRunArgs
    from dagster._serdes import pack_value

    job = dg.build_reconstructable_job("tests.orchestration.workers.holding", "job_of", ("hold",), {})
    packed: Any = pack_value(ExecuteRunArgs(job.get_python_origin(), "a-run", instance_ref=None))
    assert private.run_of_message(packed) == "a-run"


def test_the_stock_task_takes_a_base_and_executes_by_the_one_argument() -> None:
    assert "task_kwargs" in inspect.signature(tasks.create_execute_job_task).parameters
    assert "execute_job_args_packed=pack_value(args)" in inspect.getsource(stock.CeleryRunLauncher.launch_run)


def test_the_stock_launcher_reads_queue_and_priority_from_the_tags_of_the_run_that_it_is_given() -> None:
    sent = inspect.getsource(stock.CeleryRunLauncher._launch_celery_task_run)
    assert "run.tags.get(DAGSTER_CELERY_QUEUE_TAG" in sent
    assert "priority=run_priority" in sent

"""The cause of a failed run, found in what a real Dagster keeps of it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest

from fair_dagster.domain.causes import printed_by_step
from fair_dagster.domain.errors import PipelineError, UnexplainedError
from fair_dagster.orchestration.instance import open_instance
from fair_dagster.orchestration.run_config import QUIET
from fair_dagster.orchestration.runs.causes import failure_cause, log_tail
from fair_dagster.pipelines.zenml.run_records import LogLine, describe_error, logged_cause
from fair_dagster.settings import Settings

PARTITIONS = dg.DynamicPartitionsDefinition(name="towns")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return Settings(home=tmp_path / "home")


def cause_of(settings: Settings, body: Callable[[], Any]) -> str:
    """The cause of a run whose only step is ``body``."""

    @dg.op
    def step() -> None:
        body()

    @dg.job
    def work() -> None:
        step()

    with open_instance(settings) as instance:
        ended = work.execute_in_process(instance=instance, raise_on_error=False, run_config=dict(QUIET))
        return failure_cause(settings, instance, ended.run_id)


def test_a_process_that_could_not_begin_is_explained_by_what_it_printed(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    def body() -> None:
        import subprocess
        import sys

        # As the runner's: past Python, straight to the file descriptor.
        subprocess.run([sys.executable, "-c", "import a_library_that_is_missing"], check=False)
        raise UnexplainedError("training of 'town-v1' could not begin (exit code 1)")

    # Dagster captures the process's own streams, which pytest has put others in front of.
    with capfd.disabled():
        cause = cause_of(settings, body)
    assert cause.startswith("training of 'town-v1' could not begin (exit code 1); the last it printed:\n")
    assert "ModuleNotFoundError: No module named 'a_library_that_is_missing'" in cause


def test_our_own_error_says_more_than_what_it_came_from(settings: Settings) -> None:
    def body() -> None:
        try:
            raise RuntimeError("Pipeline run has failed")
        except RuntimeError as error:
            raise PipelineError("training failed in step 'train_model': no chips") from error

    assert cause_of(settings, body) == "training failed in step 'train_model': no chips"


def test_a_partition_that_is_deleted_while_its_run_goes_on_is_named(settings: Settings) -> None:
    """Dagster says "Partition range town-v1 to town-v1 is not a valid range"."""

    @dg.asset(partitions_def=PARTITIONS)
    def model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        context.instance.delete_dynamic_partition("towns", "town-v1")
        return dg.MaterializeResult()

    job = dg.Definitions(assets=[model], jobs=[dg.define_asset_job("train", [model])]).resolve_job_def("train")
    with open_instance(settings) as instance:
        instance.add_dynamic_partitions("towns", ["town-v1"])
        ended = job.execute_in_process(
            instance=instance, raise_on_error=False, run_config=dict(QUIET), partition_key="town-v1"
        )
        assert not ended.success
        assert failure_cause(settings, instance, ended.run_id).startswith("partition 'town-v1' was deleted")


def test_a_process_that_dies_is_explained_by_what_the_code_server_found(settings: Settings) -> None:
    run = dg.DagsterRun(job_name="work", run_id=str(uuid4()), status=dg.DagsterRunStatus.STARTED)
    with open_instance(settings) as instance:
        instance.add_run(run)
        instance.report_engine_event("[DagsterApiServer] the process was terminated by signal 9", run)
        instance.report_run_failed(run)
        assert failure_cause(settings, instance, run.run_id) == "the process was terminated by signal 9"
        assert log_tail(settings, instance, run.run_id, 5) == []


def test_a_bare_error_of_zenml_gives_way_to_what_it_wraps() -> None:
    def wrapped() -> None:
        try:
            raise ImportError("no module named 'torch'")
        except ImportError as error:
            raise RuntimeError("Failed to run cache function.") from error

    with pytest.raises(RuntimeError) as raised:
        wrapped()
    assert describe_error(raised.value).startswith("ImportError: no module named 'torch'")


def test_the_first_error_of_a_log_stands_for_a_step_that_kept_none() -> None:
    def line(step: str | None, level: str, message: str) -> LogLine:
        return LogLine(step, level, datetime(2026, 1, 1, tzinfo=UTC), message)

    trouble = "Step load_data failed.\nTraceback (most recent call last):\n  File ...\nImportError: no GDAL"
    lines = [line("load_data", "INFO", "starting"), line("load_data", "ERROR", trouble), line(None, "ERROR", "gave up")]
    assert logged_cause(lines) == ("load_data", "Step load_data failed.\n  File ...\nImportError: no GDAL")
    assert logged_cause(lines[:1]) is None


def test_events_of_dagster_are_not_what_a_step_printed() -> None:
    event = "2026-11-21 10:17:49 +0000 - dagster - {} - job - 8c68e622 - 30668 - step - {} - text"
    failure = event.format("ERROR", "STEP_FAILURE") + "\n\nTraceback:\n  File dagster.py\nValueError: wrapped"
    log = f"{event.format('DEBUG', 'STEP_START')}\nepoch 1\nImportError: no GDAL\n{failure}"
    assert printed_by_step(log) == "epoch 1\nImportError: no GDAL"
    coloured = "\x1b[32m2026-11-21 10:13:54 +0000\x1b[0m - dagster - \x1b[34mINFO\x1b[0m - x\nepoch 2"
    assert printed_by_step(coloured) == "epoch 2"

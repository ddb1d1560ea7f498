"""Runs that were killed together with their code server: found, and nothing else taken for one."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.storage.tags import GRPC_INFO_TAG

from fair_dagster.workers import end_lost_runs


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@dg.job
def work() -> None:
    pass


def begun(instance: dg.DagsterInstance, server: Path | None, pid: int | None = None) -> str:
    """A run that has begun by the book."""
    tags = {GRPC_INFO_TAG: json.dumps({"host": "localhost", "socket": str(server)})} if server else {}
    run = instance.create_run_for_job(work, tags=tags)
    started = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_START.value, job_name="work")
    instance.report_dagster_event(started, run.run_id)
    if pid is not None:
        told = EngineEventData(metadata={"pid": dg.MetadataValue.text(str(pid))})
        instance.report_engine_event("Started process for run", run, engine_event_data=told)
    return run.run_id


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


@pytest.fixture
def ended() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_run_whose_process_and_code_server_are_gone_has_failed(
    instance: dg.DagsterInstance, tmp_path: Path, ended: int
) -> None:
    run_id = begun(instance, tmp_path / "no-socket", ended)
    assert end_lost_runs(instance) == [run_id]
    assert status(instance, run_id) == dg.DagsterRunStatus.FAILURE
    assert end_lost_runs(instance) == []


def test_a_socket_file_that_a_killed_server_left_answers_nobody(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
    run_id = begun(instance, tmp_path / "s")
    assert end_lost_runs(instance) == [run_id]


def test_a_run_whose_code_server_answers_is_its_business(
    instance: dg.DagsterInstance, tmp_path: Path, ended: int
) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        begun(instance, tmp_path / "s", ended)
        assert end_lost_runs(instance) == []


def test_a_process_that_outlives_its_code_server_goes_on(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    begun(instance, tmp_path / "no-socket", os.getpid())
    assert end_lost_runs(instance) == []


def test_a_later_process_with_the_same_number_is_not_the_run(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = begun(instance, tmp_path / "no-socket", os.getpid())
    # This process began an hour after the run.
    now = time.time
    monkeypatch.setattr("fair_dagster.workers.time.time", lambda: now() + 3600 + 24 * 3600)
    assert end_lost_runs(instance) == [run_id]


def test_runs_of_the_command_line_and_of_other_machines_are_left_alone(instance: dg.DagsterInstance) -> None:
    begun(instance, None)
    run = instance.create_run_for_job(
        work, tags={GRPC_INFO_TAG: json.dumps({"host": "codeserver.example.org", "port": 4000})}
    )
    started = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_START.value, job_name="work")
    instance.report_dagster_event(started, run.run_id)
    assert end_lost_runs(instance) == []

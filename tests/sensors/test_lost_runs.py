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
from dagster._core.storage.tags import GRPC_INFO_TAG

from fair_dagster.definitions import build_defs
from fair_dagster.net.processes import Process
from fair_dagster.orchestration.process_tags import process_of, process_tag
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.orchestration.runs.lost import end_lost_runs


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@dg.job
def work() -> None:
    pass


def begun(
    instance: dg.DagsterInstance, server: Path | None, process: Process | None = None, host: str | None = None
) -> str:
    """A run that has begun by the book, executed by ``process`` of the machine ``host`` (of this one)."""
    tags = {GRPC_INFO_TAG: json.dumps({"host": "localhost", "socket": str(server)})} if server else {}
    run = instance.create_run_for_job(work, tags=tags)
    if process is not None:
        instance.add_run_tags(run.run_id, process_tag(run.run_id, process, host))
    started = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_START.value, job_name="work")
    instance.report_dagster_event(started, run.run_id)
    return run.run_id


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


@pytest.fixture
def ended() -> Process:
    """A process that has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        return Process.of(process.pid)


def test_a_run_whose_process_and_code_server_are_gone_has_failed(
    instance: dg.DagsterInstance, tmp_path: Path, ended: Process
) -> None:
    run_id = begun(instance, tmp_path / "no-socket", ended)
    assert end_lost_runs(instance) == [run_id]
    assert status(instance, run_id) == dg.DagsterRunStatus.FAILURE
    assert end_lost_runs(instance) == []


def test_a_socket_file_that_a_killed_server_left_answers_nobody(
    instance: dg.DagsterInstance, tmp_path: Path, ended: Process
) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
    run_id = begun(instance, tmp_path / "s", ended)
    assert end_lost_runs(instance) == [run_id]


def test_a_run_whose_code_server_answers_is_its_business(
    instance: dg.DagsterInstance, tmp_path: Path, ended: Process
) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        begun(instance, tmp_path / "s", ended)
        assert end_lost_runs(instance) == []


def test_a_process_that_outlives_its_code_server_goes_on(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    begun(instance, tmp_path / "no-socket", Process.of(os.getpid()))
    assert end_lost_runs(instance) == []


def test_a_later_process_with_the_same_number_is_not_the_run(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    run_id = begun(instance, tmp_path / "no-socket", Process(os.getpid(), "1"))
    assert end_lost_runs(instance) == [run_id]


def test_two_machines_with_one_database_leave_each_others_runs_alone(
    instance: dg.DagsterInstance, tmp_path: Path, ended: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket of the other machine is no file here, and its process has no number here."""
    runs = {host: begun(instance, tmp_path / f"socket-of-{host}", ended, host) for host in ("a", "b")}
    monkeypatch.setattr(socket, "gethostname", lambda: "c")
    assert end_lost_runs(instance) == []
    for here, there in (("a", "b"), ("b", "a")):
        monkeypatch.setattr(socket, "gethostname", lambda here=here: here)
        assert end_lost_runs(instance) == [runs[here]]
        if here == "a":
            assert status(instance, runs[there]) == dg.DagsterRunStatus.STARTED


def test_a_run_that_notes_no_process_has_died_just_after_its_start(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = begun(instance, tmp_path / "no-socket")
    assert end_lost_runs(instance) == []
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 200)
    assert end_lost_runs(instance) == [run_id]


def test_runs_of_the_command_line_and_of_other_launchers_are_left_alone(
    instance: dg.DagsterInstance, ended: Process
) -> None:
    begun(instance, None, ended)
    run = instance.create_run_for_job(
        work, tags={GRPC_INFO_TAG: json.dumps({"host": "codeserver.example.org", "port": 4000})}
    )
    instance.add_run_tags(run.run_id, process_tag(run.run_id, ended))
    started = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_START.value, job_name="work")
    instance.report_dagster_event(started, run.run_id)
    assert end_lost_runs(instance) == []


def test_every_job_notes_its_process_before_its_first_step(instance: dg.DagsterInstance) -> None:
    definitions = build_defs()
    jobs = [definitions.resolve_job_def(job.name) for job in definitions.get_repository_def().get_all_jobs()]
    assert [job.name for job in jobs if "fair" not in job.required_resource_keys] == []

    noted: list[Process | None] = []

    @dg.op
    def look(context: dg.OpExecutionContext, fair: FairResource) -> None:
        run = context.instance.get_run_by_id(context.run_id)
        assert run is not None
        noted.append(process_of(run))

    @dg.job(resource_defs={"fair": FairResource()}, executor_def=dg.in_process_executor)
    def ours() -> None:
        look()

    ours.execute_in_process(instance=instance)
    assert noted == [Process.of(os.getpid())]

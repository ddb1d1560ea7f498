"""Runs as they are looked up, logged and stopped, on a real Dagster instance; ZenML's runs are in memory."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.tags import GRPC_INFO_TAG

from fair_dagster.domain.errors import NotFoundError, RefusedError
from fair_dagster.fair import Fair
from fair_dagster.flows.run_files import launch_folder
from fair_dagster.flows.services import Services
from fair_dagster.net.processes import Process
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.instance import open_instance
from fair_dagster.orchestration.process_tags import process_of, process_tag
from fair_dagster.orchestration.runs import records as runs
from fair_dagster.orchestration.runs.execution import LAUNCH_FILE, PROCESS_FILE, Launch
from fair_dagster.pipelines.zenml.run_records import LogLine, RunRecord
from fair_dagster.settings import Settings

FINETUNE = keys.finetune_job("texture-segmentation")
PARTITION = "town-buildings-v1"
FORMER, OWNER = "the-uuid-of-the-former-version", "the-uuid-of-the-owner"


Records = list[RunRecord]
Lines = list[LogLine]


class FakeRuns:
    """Stands for ZenML's ``Runs``: one that goes on for each version that it is told of."""

    def __init__(self, *uuids: str) -> None:
        self.statuses = dict.fromkeys(uuids, "running")

    def list(self, *, version_uuid: str, limit: int = 50) -> Records:
        if version_uuid not in self.statuses:
            return []
        status = self.statuses[version_uuid]
        return [RunRecord(version_uuid, f"run of {version_uuid}", status, "p", None, None, None, None)][:limit]

    def mark_stopped(self, run: str, reason: str) -> None:
        self.statuses[run] = f"stopped: {reason}"

    def logs(self, run: str) -> Lines:
        return [LogLine("train_model", "INFO", datetime.now(UTC), f"log of {run}")]


class FakeVersions:
    """ZenML without any version."""

    def get(self, name: str, number: int) -> None:
        raise NotFoundError(f"version {number} of {name!r}", ["there is no such version"])


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    services = Services(Settings(home=tmp_path / "home"))
    services.__dict__["zenml_runs"] = FakeRuns(FORMER, OWNER)
    services.__dict__["versions"] = FakeVersions()
    return services


@pytest.fixture
def fair(services: Services) -> Fair:
    fair = Fair(services.settings)
    fair.__dict__["services"] = services
    return fair


@pytest.fixture
def process() -> Iterator[Callable[[], Process]]:
    """Starts processes that go on."""
    started = []

    def start() -> Process:
        command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        stdout = started[-1].stdout
        assert stdout is not None
        stdout.readline()
        return Process.of(started[-1].pid)

    yield start
    for each in started:
        each.kill()
        each.communicate()


def ended() -> Process:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        return Process.of(child.pid)


def record(services: Services, process: Process, uuid: str | None = None, **fields: Any) -> str:
    """A finetune that goes on, as Dagster knows it; its id."""
    run_id = str(uuid4())
    tags = {"dagster/partition": PARTITION, **process_tag(run_id, process)}
    if uuid:
        tags[keys.TAG_ZENML_VERSION] = uuid
    run = dg.DagsterRun(
        **{"job_name": FINETUNE, "run_id": run_id, "status": dg.DagsterRunStatus.STARTED, "tags": tags} | fields
    )
    with open_instance(services.settings) as instance:
        instance.add_run(run)
    return run.run_id


def launch(services: Services, process: Process) -> str:
    """A finetune whose process Dagster has not heard of; its id."""
    launched = Launch(FINETUNE, partition=PARTITION, tags={keys.TAG_ZENML_VERSION: FORMER})
    folder = launch_folder(services.settings, launched.run_id)
    folder.mkdir(parents=True)
    (folder / LAUNCH_FILE).write_text(json.dumps({"started": datetime.now(UTC).isoformat(), **asdict(launched)}))
    (folder / PROCESS_FILE).write_text(str(process))
    return launched.run_id


def own(services: Services, uuid: str) -> None:
    """Let the partition belong to a version."""
    request = {"base_model": "m", "base_model_version": 1, "dataset": "d", "dataset_version": 1}
    note = services.settings.home / "runs" / "allocated" / f"{PARTITION}.json"
    note.parent.mkdir(parents=True)
    names = {"model_name": "town-buildings", "overrides": {}}
    note.write_text(json.dumps({"partition": PARTITION, "uuid": uuid, "request": request | names}))


def test_runs_of_a_partition_go_on_before_zenml_knows_them(services: Services, process: Callable[[], Process]) -> None:
    """A version that was deleted in the first seconds of its finetune left its number to another one."""
    launched, known = launch(services, process()), record(services, process())
    record(services, process(), tags={"dagster/partition": "town-buildings-v2"})
    record(services, process(), status=dg.DagsterRunStatus.SUCCESS)
    assert sorted(runs.going(services, PARTITION)) == sorted([launched, known])


def test_runs_whose_process_has_ended_do_not_go_on(services: Services) -> None:
    own(services, OWNER)
    launch(services, ended())
    record(services, ended())
    assert runs.going(services, PARTITION) == []


@pytest.mark.parametrize(
    ("tag", "stopped"), [(FORMER, FORMER), (None, OWNER)], ids=["with a version", "a run of the UI"]
)
def test_zenml_hears_of_the_end_of_the_version_that_was_trained(fair: Fair, tag: str | None, stopped: str) -> None:
    own(fair.services, OWNER)
    run_id = record(fair.services, ended(), tag)
    assert fair.run(run_id).status == "FAILURE"
    other = {FORMER: OWNER, OWNER: FORMER}[stopped]
    found = fair.services.zenml_runs
    assert [found.list(version_uuid=uuid)[0].status for uuid in (stopped, other)] == [
        "stopped: its process was killed",
        "running",
    ]


@pytest.mark.parametrize(("tag", "told"), [(FORMER, FORMER), (None, OWNER)], ids=["with a version", "a run of the UI"])
def test_the_log_is_that_of_the_version_that_was_trained(
    fair: Fair, process: Callable[[], Process], tag: str | None, told: str
) -> None:
    own(fair.services, OWNER)
    lines = fair.logs(record(fair.services, process(), tag), step="train_model")
    assert [line.message for line in lines] == [f"log of {told}"]


@pytest.mark.parametrize("tag", ["a-uuid-that-zenml-has-forgotten", None])
def test_the_log_of_a_run_outlives_its_version(fair: Fair, tag: str | None) -> None:
    run_id = record(fair.services, ended(), tag)
    assert any("was killed" in line.message for line in fair.logs(run_id))


def test_a_run_is_found_by_its_id_however_many_came_after(
    fair: Fair, process: Callable[[], Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    known, launched = record(fair.services, process()), launch(fair.services, process())
    monkeypatch.setattr(runs, "list_runs", lambda services, limit: [])
    assert (fair.run(known).id, fair.run(known).status) == (known, "STARTED")
    assert (fair.run(launched).id, fair.run(launched).status) == (launched, "STARTING")
    for unknown in (known[:8], str(uuid4()), "", "..", "../launched"):
        with pytest.raises(NotFoundError):
            fair.run(unknown)


def test_a_run_is_found_by_the_beginning_of_its_id(fair: Fair, process: Callable[[], Process]) -> None:
    known, launched = record(fair.services, process()), launch(fair.services, process())
    for run_id in (known, launched):
        assert fair.run(run_id[:13]) == replace(fair.run(run_id), progress=None)


def test_a_run_inside_a_process_of_somebody_is_not_stopped(fair: Fair, process: Callable[[], Process]) -> None:
    """Its process may be a notebook or a server, which an interrupt would end."""
    host = process()
    run_id = record(fair.services, host, job_name=keys.BASE_MODELS_JOB)
    with pytest.raises(RefusedError, match=f"inside process {host.pid}"):
        fair.stop(run_id)
    assert host.alive
    assert fair.run(run_id).status == "STARTED"


def test_a_run_that_took_over_the_tags_of_a_dead_one_goes_on(fair: Fair) -> None:
    """Dagster copies all tags when the UI executes a run again, and when the daemon retries it."""
    dead = record(fair.services, ended(), FORMER)
    with open_instance(fair.services.settings) as instance:
        tags = instance.get_run_by_id(dead).tags  # type: ignore[union-attr]
    again = record(fair.services, ended(), tags=dict(tags))
    assert fair.run(again).status == "STARTED"
    assert fair.services.zenml_runs.list(version_uuid=FORMER)[0].status == "running"
    assert fair.run(dead).status == "FAILURE"


def test_a_run_of_another_machine_is_not_declared_dead(fair: Fair) -> None:
    run_id = str(uuid4())
    record(fair.services, ended(), run_id=run_id, tags=process_tag(run_id, ended(), host="another-machine"))
    assert fair.run(run_id).status == "STARTED"
    with pytest.raises(RefusedError, match="another machine"):
        fair.stop(run_id)
    assert fair.run(run_id).status == "STARTED"


def test_a_run_that_the_daemon_of_another_machine_started_is_stopped_there(fair: Fair) -> None:
    """Its code server has a socket on that machine; Dagster would count the run as canceled, and it would go on."""
    run_id = str(uuid4())
    server = {GRPC_INFO_TAG: json.dumps({"host": "localhost", "socket": "/run/of-another-machine"})}
    record(fair.services, ended(), run_id=run_id, tags=server | process_tag(run_id, ended(), host="another-machine"))
    with pytest.raises(RefusedError, match="machine 'another-machine' executes it"):
        fair.stop(run_id)
    assert fair.run(run_id).status == "STARTED"


def test_the_tag_gives_back_the_process(process: Callable[[], Process]) -> None:
    run_id, running = str(uuid4()), process()
    assert process_of(dg.DagsterRun("job", run_id, tags=process_tag(run_id, running))) == running
    for text in ("", "12:34", f"{run_id}/12", f"{run_id}/h/x"):
        assert process_of(dg.DagsterRun("job", run_id, tags={keys.TAG_PROCESS: text})) is None


def test_a_run_in_the_queue_is_taken_out_of_it(fair: Fair) -> None:
    location = RegisteredCodeLocationOrigin("here")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), FINETUNE)
    queued = {"status": dg.DagsterRunStatus.QUEUED, "tags": {}, "remote_job_origin": origin}
    run_id = record(fair.services, ended(), **queued)
    assert fair.stop(run_id).status == "CANCELED"


def test_a_run_whose_code_server_is_gone_cannot_be_stopped_from_here(fair: Fair, tmp_path: Path) -> None:
    server = json.dumps({"host": "localhost", "socket": str(tmp_path / "gone")})
    run_id = record(fair.services, ended(), tags={".dagster/grpc_info": server})
    with pytest.raises(RefusedError, match="code server that started it does not answer"):
        fair.stop(run_id)

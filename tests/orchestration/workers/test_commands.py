"""The commands ``finetune`` and ``predict`` where runs are executed by workers, of which one is killed on the way."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from fair_dagster.imagery.synthesize import synthesize
from fair_dagster.net.processes import Process
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.process_tags import process_of
from tests.orchestration.workers.cluster import Member, Team, children_of, until
from tests.orchestration.workers.conftest import DATASETS
from tests.services.servers import ZenMlServer

MODEL = "texture-segmentation"
_PATIENCE = 240
_STACK = """
stack_name: shared-folder
components:
  orchestrator: {{name: shared-folder, flavor: local, configuration: {{}}}}
  artifact_store: {{name: shared-folder, flavor: local, configuration: {{path: {path}}}}}
"""


class Asking:
    """The machine that asks: it has a home of its own, and neither daemon nor worker."""

    def __init__(self, team: Team, instance: dg.DagsterInstance) -> None:
        self.team, self.instance = team, instance
        self.workers: list[Member] = []

    def start(self, *command: str) -> "subprocess.Popen[str]":
        script = Path(sys.executable).with_name("fair-dagster")
        return subprocess.Popen(
            [str(script), *command],
            env=self.team.environment("asking"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str) -> str:
        process = self.start(*command)
        output, _ = process.communicate(timeout=_PATIENCE)
        assert process.returncode == 0, output
        return output

    def begin(self) -> None:
        """Two idle workers, which take from both queues."""
        self.workers = [worker for worker in self.workers if worker.process is not None]
        while len(self.workers) < 2:
            number = len(self.team.members)
            self.workers.append(self.team.worker(f"worker-{number}", "--concurrency", "1"))

    def at_work(self, job: str) -> tuple[Member, dg.DagsterRun]:
        """The worker that executes a run of ``job``, as soon as the process of our code is there."""
        found: list[tuple[Member, dg.DagsterRun]] = []

        def look() -> bool:
            for run in self.instance.get_runs(dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.STARTED])):
                process = process_of(run)
                if process is not None and children_of(process.pid):
                    found.extend((one, run) for one in self.workers if self.team.has(one, run))
            return bool(found)

        until(look, f"a run of {job} at a worker", _PATIENCE)
        return found[0]

    def kill(self, worker: Member) -> None:
        """SIGKILL to the worker alone; what it has started is to end by itself."""
        assert worker.process is not None
        worker.process.kill()
        worker.process.wait()
        worker.process = None

    def statuses(self, job: str) -> list[str]:
        return sorted(run.status.value for run in self.instance.get_runs(dg.RunsFilter(job_name=job)))


@pytest.fixture(scope="module")
def asking(team: Team) -> Iterator[Asking]:
    with pytest.MonkeyPatch.context() as patch, team.instance() as instance:
        patch.setenv("FAIR_BROKER_URL", team.redis.url)
        team.daemon()
        until(lambda: instance.get_daemon_heartbeats().get("QUEUED_RUN_COORDINATOR"), "the daemon")
        found = Asking(team, instance)
        found.begin()
        yield found


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return synthesize(tmp_path / "data", chips=2, size=64, seed=5).train_chips


def test_a_prediction_whose_worker_is_killed_comes_back(asking: Asking, images: Path, tmp_path: Path) -> None:
    asking.begin()
    output = tmp_path / "found.geojson"
    asked = asking.start("predict", MODEL, "--images", str(images), "--output", str(output))
    worker, _ = asking.at_work(keys.PREDICT_JOB)
    asking.kill(worker)
    told, _ = asked.communicate(timeout=_PATIENCE)
    assert asked.returncode == 0, told
    assert json.loads(output.read_text())["type"] == "FeatureCollection"
    assert asking.statuses(keys.PREDICT_JOB) == ["FAILURE", "SUCCESS"]
    assert list((asking.team.folder / "artifacts" / "predictions").glob("*")) == []
    others = [one for one in asking.workers if one is not worker]
    assert [path for one in others for path in (one.settings.home / "runs").glob("predict-*")] == []


def test_ctrl_c_to_the_command_ends_the_run_on_its_worker(asking: Asking, images: Path, tmp_path: Path) -> None:
    asking.begin()
    output = tmp_path / "found.geojson"
    asked = asking.start("predict", MODEL, "--images", str(images), "--output", str(output))
    _, run = asking.at_work(keys.PREDICT_JOB)
    process = process_of(run)
    assert process is not None
    started = [Process.of(pid) for pid in children_of(process.pid)]
    asked.send_signal(signal.SIGINT)
    told, _ = asked.communicate(timeout=_PATIENCE)
    assert asked.returncode == 130, told
    until(lambda: not any(one.alive for one in [process, *started]), "the end of the run's processes", 20)
    ended = asking.instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is dg.DagsterRunStatus.CANCELED
    assert not output.exists()
    assert list((asking.team.folder / "artifacts" / "predictions").glob("*")) == []


def test_a_training_whose_worker_is_killed_is_trained(asking: Asking, zenml_server: ZenMlServer) -> None:
    team = asking.team
    team.extra |= {"ZENML_STORE_URL": zenml_server.url, "ZENML_STORE_API_KEY": zenml_server.api_key}
    team.extra |= {"FAIR_TRACKING": "none"}
    path = team.folder / "stack.yaml"
    path.write_text(_STACK.format(path=team.folder / "zenml-artifacts"))
    asking.run("stack", "apply", str(path), "--use")
    (stack,) = [one for one in json.loads(asking.run("stack", "list", "--json")) if one["name"] == "shared-folder"]
    team.extra["ZENML_ACTIVE_STACK_ID"] = stack["id"]
    # Workers read their settings when they start.
    for worker in asking.workers:
        worker.kill()
    asking.begin()
    job = keys.finetune_job(MODEL)
    options = ("--base-model", MODEL, "--dataset", DATASETS[0], "--name", "towns", "--set", "training.epochs=50")
    asked = asking.start("finetune", *options, "--json")
    worker, _ = asking.at_work(job)
    asking.kill(worker)
    told, _ = asked.communicate(timeout=2 * _PATIENCE)
    assert asked.returncode == 0, told
    assert asking.statuses(job) == ["FAILURE", "SUCCESS"]
    (version,) = json.loads(asking.run("version", "list", "towns", "--json"))
    assert version["number"] == 1, "the same version was trained, and no other was made"
    asking.run("version", "promote", "towns-v1")

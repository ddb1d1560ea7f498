"""Runs on two workers with real servers: a worker killed, a broker away or emptied, a run stopped, a run that is long.

Each run is one that goes on until it is let go, so that nothing depends on how fast this machine is.
"""

import os
import signal
import time
import uuid
from collections.abc import Iterator

import dagster as dg
import pytest

from fair_dagster.net.processes import Process
from fair_dagster.orchestration.process_tags import process_of
from fair_dagster.orchestration.runs.attempts import last_attempt
from fair_dagster.orchestration.runs.launches import Launch
from fair_dagster.orchestration.workers.launcher import WorkerRunLauncher
from fair_dagster.orchestration.workers.starts import end_lost_starts
from fair_dagster.orchestration.workers.submission import submit
from tests.orchestration.workers import holding
from tests.orchestration.workers.cluster import Member, Redis, Team, until

VISIBILITY_SECONDS = 5
OUTAGE_SECONDS = 20.0
NAMES = ("first", "second")


class Runs:
    """Submits runs that are held, and says what became of them."""

    def __init__(self, team: Team, instance: dg.DagsterInstance) -> None:
        self.team, self.instance = team, instance
        self.workers: dict[str, Member] = {}
        self.notes = team.folder / "notes"

    def begin(self) -> None:
        """Two idle workers, and nothing that another test has left."""
        self.notes = self.team.folder / f"notes-{uuid.uuid4().hex[:6]}"
        self.notes.mkdir()
        for name in NAMES:
            if name not in self.workers or self.workers[name].process is None:
                self.workers[name] = self.team.worker(name, "--concurrency", "1")

    def submit(self, **tags: str) -> str:
        config = {"ops": {"wait": {"config": {"notes": str(self.notes)}}}}
        origin = dg.build_reconstructable_job(holding.__name__, "job_of", (holding.JOB,), {}).get_python_origin()
        launch = Launch(holding.JOB, config=config, tags=tags)
        submit(self.instance, holding.hold, origin, launch)
        return launch.run_id

    def begun(self, run_id: str) -> list[tuple[int, int]]:
        """The run's process and the process that it started, for each beginning."""
        path = self.notes / f"{run_id}.begun"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(line.split()[0]), int(line.split()[1])) for line in lines]

    def await_beginning(self, *run_ids: str) -> None:
        until(lambda: all(self.begun(run_id) for run_id in run_ids), f"the beginning of {run_ids}")

    def status(self, run_id: str) -> dg.DagsterRunStatus:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    def await_end(self, run_id: str) -> dg.DagsterRunStatus:
        until(lambda: self.status(run_id).value in {"SUCCESS", "FAILURE", "CANCELED"}, f"the end of {run_id}")
        return self.status(run_id)

    def retried_as(self, run_id: str) -> str:
        until(lambda: last_attempt(self.instance, run_id) != run_id, f"another run in the place of {run_id}")
        return last_attempt(self.instance, run_id)

    def let_go(self) -> None:
        (self.notes / "go").touch()

    def worker_of(self, run_id: str) -> Member:
        run = self.instance.get_run_by_id(run_id)
        process = process_of(run) if run is not None else None
        assert process is not None
        return next(one for one in self.workers.values() if one.process and os.getpgid(process.pid) == one.process.pid)

    @property
    def launcher(self) -> WorkerRunLauncher:
        launcher = self.instance.run_launcher
        assert isinstance(launcher, WorkerRunLauncher)
        return launcher


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, postgres: dict[str, str], broker: Redis) -> Iterator[Runs]:
    """A daemon and workers whose Redis hands unacknowledged messages out again after seconds."""
    # The restoring of messages is looked after in each round of Celery's loop, and not in each hundredth.
    options = {"visibility_timeout": VISIBILITY_SECONDS, "unacked_restore_interval": 1, "unacked_restore_throttle": 1}
    options |= {"unacked_mutex_expire": 1, "max_retries": 1, "interval_start": 0, "interval_max": 0.2}
    folder = tmp_path_factory.mktemp("team")
    team = Team(folder, folder / "schemas", postgres, broker, celery={"broker_transport_options": options})
    team.code = holding.__name__
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**postgres, "FAIR_BROKER_URL": broker.url}.items():
            patch.setenv(name, value)
        with team.instance() as instance:
            found = Runs(team, instance)
            team.daemon()
            until(lambda: instance.get_daemon_heartbeats().get("QUEUED_RUN_COORDINATOR"), "the daemon")
            yield found
        team.end()


@pytest.fixture
def runs(cluster: Runs) -> Iterator[Runs]:
    cluster.begin()
    yield cluster
    cluster.let_go()
    until(lambda: not cluster.instance.get_runs(dg.RunsFilter(statuses=list(GOING))), "the end of all runs")


GOING = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)


def ended(*pids: int) -> bool:
    return not any(Process.of(pid).alive for pid in pids if Process.of(pid).started)


def test_a_run_whose_worker_is_killed_is_launched_again_and_leaves_no_process(runs: Runs) -> None:
    """Only the parent gets the signal: what it has started would go on beside the second run."""
    run_id = runs.submit()
    runs.await_beginning(run_id)
    worker = runs.worker_of(run_id)
    assert worker.process is not None
    worker.process.kill()
    worker.process.wait()
    worker.process = None
    (pids,) = runs.begun(run_id)
    until(lambda: ended(*pids), "the end of what the worker had started", 10)
    second = runs.retried_as(run_id)
    runs.await_beginning(second)
    runs.let_go()
    assert runs.await_end(second) is dg.DagsterRunStatus.SUCCESS
    assert runs.status(run_id) is dg.DagsterRunStatus.FAILURE
    assert len(runs.begun(run_id)) == len(runs.begun(second)) == 1


def test_a_run_longer_than_the_visibility_timeout_begins_once(runs: Runs) -> None:
    run_id = runs.submit()
    runs.await_beginning(run_id)
    time.sleep(4 * VISIBILITY_SECONDS)
    runs.let_go()
    assert runs.await_end(run_id) is dg.DagsterRunStatus.SUCCESS
    assert len(runs.begun(run_id)) == 1
    assert last_attempt(runs.instance, run_id) == run_id
    messages = [entry.message for entry in runs.instance.all_logs(run_id)]
    assert not [message for message in messages if "duplicate" in message or "Ignoring" in message]


def test_a_run_that_is_stopped_ends_with_what_it_has_started(runs: Runs) -> None:
    run_id = runs.submit()
    runs.await_beginning(run_id)
    (pids,) = runs.begun(run_id)
    assert runs.instance.run_coordinator.cancel_run(run_id)
    until(lambda: ended(pids[1]), "the end of the child", 20)
    assert runs.await_end(run_id) is dg.DagsterRunStatus.CANCELED
    until(lambda: ended(*pids), "the end of the run's process", 20)
    assert last_attempt(runs.instance, run_id) == run_id


def test_a_run_that_is_stopped_before_a_worker_is_free_never_begins(runs: Runs) -> None:
    held = [runs.submit(), runs.submit()]
    runs.await_beginning(*held)
    waiting, after = runs.submit(), runs.submit()
    until(lambda: runs.status(after) is dg.DagsterRunStatus.STARTING, "launches")
    assert runs.instance.run_coordinator.cancel_run(waiting)
    assert runs.status(waiting) is dg.DagsterRunStatus.CANCELED, "at once: nobody has to be waited for"
    runs.let_go()
    assert runs.await_end(after) is dg.DagsterRunStatus.SUCCESS
    assert runs.begun(waiting) == []


def test_a_broker_that_is_away_costs_no_run_and_begins_none_twice(runs: Runs) -> None:
    held = runs.submit()
    runs.await_beginning(held)
    runs.team.redis.stop()
    launched_meanwhile = runs.submit()
    time.sleep(OUTAGE_SECONDS)
    runs.team.redis.start()
    runs.await_beginning(launched_meanwhile)
    # The workers connect again in their own time, and count as alive meanwhile.
    time.sleep(2 * VISIBILITY_SECONDS)
    runs.let_go()
    for run_id in (held, launched_meanwhile):
        assert runs.await_end(run_id) is dg.DagsterRunStatus.SUCCESS
        assert len(runs.begun(run_id)) == 1


def test_what_redis_has_forgotten_is_launched_again(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fair_dagster.orchestration.workers.starts.UNTAKEN_SECONDS", 0.0)
    held = [runs.submit(), runs.submit()]
    runs.await_beginning(*held)
    waiting = runs.submit()
    until(lambda: runs.status(waiting) is dg.DagsterRunStatus.STARTING, "the launch")
    assert runs.launcher.waiting("dagster") == 1
    assert end_lost_starts(runs.instance, runs.launcher) == [], "it waits"
    runs.team.redis.client.flushdb()
    assert end_lost_starts(runs.instance, runs.launcher) == [waiting]
    second = runs.retried_as(waiting)
    runs.let_go()
    assert runs.await_end(second) is dg.DagsterRunStatus.SUCCESS
    for run_id in held:
        assert runs.await_end(run_id) is dg.DagsterRunStatus.SUCCESS, "what goes on needs no Redis"
        assert len(runs.begun(run_id)) == 1
    told = [entry.message for entry in runs.instance.all_logs(waiting)]
    assert [text for text in told if text.startswith("No worker has taken the run from queue 'dagster' yet")]


def test_a_worker_told_to_end_lets_its_run_end_and_takes_no_other(runs: Runs) -> None:
    run_id = runs.submit()
    runs.await_beginning(run_id)
    worker = runs.worker_of(run_id)
    assert worker.process is not None
    worker.process.send_signal(signal.SIGTERM)
    others = [runs.submit(), runs.submit()]
    runs.await_beginning(others[0])
    time.sleep(3)
    assert runs.begun(others[1]) == []
    runs.let_go()
    assert runs.await_end(run_id) is dg.DagsterRunStatus.SUCCESS
    assert worker.process.wait(30) == 0
    worker.process = None
    assert [runs.await_end(other) for other in others] == [dg.DagsterRunStatus.SUCCESS] * 2


def test_a_step_that_a_former_version_left_in_redis_is_thrown_away(runs: Runs) -> None:
    from celery import Celery

    former = Celery("fair-dagster", broker=runs.team.redis.url, set_as_current=False)
    former.send_task("execute_plan", kwargs={"execute_step_args_packed": {}, "executable_dict": {}}, queue="dagster")
    run_id = runs.submit()
    runs.await_beginning(run_id)
    runs.let_go()
    assert runs.await_end(run_id) is dg.DagsterRunStatus.SUCCESS
    told = "".join(worker.told() for worker in runs.workers.values())
    assert "Received unregistered task of type 'execute_plan'" in told
    assert runs.launcher.waiting("dagster") == 0

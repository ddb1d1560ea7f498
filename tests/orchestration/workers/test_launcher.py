"""The launcher of ``dagster.yaml`` without a worker: its settings, where it sends a run, what it does to a run."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest

pytest.importorskip("dagster_celery", reason="the extra `team` is not installed")

from fair_dagster.domain.errors import RefusedError, ServiceError
from fair_dagster.net.processes import Process
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.process_tags import process_tag
from fair_dagster.orchestration.workers import launcher as launching
from fair_dagster.orchestration.workers.app import require_launcher
from fair_dagster.orchestration.workers.broker import address
from fair_dagster.orchestration.workers.launcher import WorkerRunLauncher, queue_of
from fair_dagster.orchestration.workers.private import LaunchRunContext, WorkerStatus
from fair_dagster.orchestration.workers.task import is_due
from fair_dagster.settings import Settings
from tests.orchestration.workers.cluster import Redis

_AWAY = "redis://user:s3cret@127.0.0.1:1/0"
_DAGSTER = """
telemetry: {enabled: false}
run_launcher: {module: fair_dagster.orchestration.workers.launcher, class: WorkerRunLauncher%s}
"""


@dg.job
def nothing() -> None: ...


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance whose broker does not answer."""
    monkeypatch.setenv("FAIR_BROKER_URL", _AWAY)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text(_DAGSTER % "")
    with dg.DagsterInstance.from_config(str(tmp_path)) as found:
        yield found


def launcher_of(instance: dg.DagsterInstance) -> WorkerRunLauncher:
    found = instance.run_launcher
    assert isinstance(found, WorkerRunLauncher)
    return found


def run_of(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, tags: Mapping[str, str] | None = None) -> str:
    return instance.create_run_for_job(nothing, status=status, tags=dict(tags or {})).run_id


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_settings_of_dagster_yaml_win_and_no_password_stands_there(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    own = ", config: {config_source: {worker_prefetch_multiplier: 3}}"
    (tmp_path / "dagster.yaml").write_text(_DAGSTER % own)
    with dg.DagsterInstance.from_config(str(tmp_path)) as found:
        settings = launcher_of(found).celery.conf
        assert (settings.worker_prefetch_multiplier, settings.worker_disable_prefetch) == (3, True)
        assert settings.task_acks_late is False
        assert "s3cret" not in found.info_str() + str(found.get_ref())


def test_an_instance_that_hands_runs_to_nobody_is_refused_with_the_lines_that_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    assert isinstance(require_launcher(Settings()), WorkerRunLauncher)
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with pytest.raises(RefusedError, match="add to it there, and wherever else Dagster runs: run_launcher:"):
        require_launcher(Settings())


def test_a_broker_that_does_not_answer_is_waited_for_so_long_and_named(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "OUTAGE_SECONDS", 0.5)
    assert sent_error(instance).startswith(f"the broker {address(_AWAY)} does not answer")


def test_a_broker_that_refuses_the_password_is_named_at_once(
    broker: Redis, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIR_BROKER_URL", broker.url.replace("s3cret-of-the-broker", "wr0ng-s3cret"))
    told = sent_error(instance)
    assert "refuses the user or password of FAIR_BROKER_URL" in told
    assert "s3cret" not in told


def sent_error(instance: dg.DagsterInstance) -> str:
    run = instance.get_run_by_id(run_of(instance, dg.DagsterRunStatus.STARTING))
    assert run is not None
    with pytest.raises(ServiceError) as failed:
        launcher_of(instance).launch_run(LaunchRunContext(run, None))
    return str(failed.value)


def test_a_broker_that_is_away_is_no_reason_to_count_a_run_as_lost(instance: dg.DagsterInstance) -> None:
    run = instance.get_run_by_id(run_of(instance, dg.DagsterRunStatus.STARTED, {"dagster-celery/task_id": "x"}))
    assert run is not None
    for _ in range(2):
        assert launcher_of(instance).check_run_worker_health(run).status is WorkerStatus.RUNNING
    assert not launcher_of(instance).supports_resume_run


@pytest.mark.parametrize(
    ("job", "assets", "tags", "queue"),
    [
        (keys.PREDICT_JOB, [], {}, "dagster"),
        (keys.finetune_job("a-model"), [], {}, "training"),
        ("__ASSET_JOB", [keys.finetuned_model("a-model")], {}, "training"),
        ("__ASSET_JOB", [keys.local_model("a-model")], {}, "dagster"),
        (keys.finetune_job("a-model"), [], {"dagster-celery/queue": "gpu"}, "gpu"),
    ],
)
def test_what_trains_waits_in_a_queue_of_its_own(
    job: str, assets: list[dg.AssetKey], tags: dict[str, str], queue: str
) -> None:
    run = dg.DagsterRun(job_name=job, asset_selection=frozenset(assets) or None, tags=tags)
    assert queue_of(run) == queue


def test_a_run_that_no_worker_has_begun_is_canceled_at_once_and_one_at_work_by_its_worker(
    instance: dg.DagsterInstance,
) -> None:
    """Redis is away: what is to end is told by Dagster's database."""
    waiting = run_of(instance, dg.DagsterRunStatus.STARTING)
    assert launcher_of(instance).terminate(waiting)
    assert status(instance, waiting) is dg.DagsterRunStatus.CANCELED
    assert not launcher_of(instance).terminate(waiting)
    working = run_of(instance, dg.DagsterRunStatus.STARTED)
    assert launcher_of(instance).terminate(working)
    assert status(instance, working) is dg.DagsterRunStatus.CANCELING


@pytest.mark.parametrize(
    ("begun", "before", "due"),
    [
        (dg.DagsterRunStatus.STARTING, False, True),
        (dg.DagsterRunStatus.STARTING, True, False),
        (dg.DagsterRunStatus.STARTED, True, False),
        (dg.DagsterRunStatus.CANCELED, False, False),
        (dg.DagsterRunStatus.FAILURE, True, False),
    ],
)
def test_a_message_begins_a_run_that_was_launched_and_not_begun(
    begun: dg.DagsterRunStatus, before: bool, due: bool
) -> None:
    run = dg.DagsterRun(job_name="any", status=begun)
    noted = process_tag(run.run_id, Process.of(1), "another-machine") if before else {}
    assert is_due(run.with_tags(noted)) is due

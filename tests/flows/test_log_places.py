"""What steps print, kept in a bucket by dagster-aws as a team's instance has it, and read from there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fair_dagster.domain.errors import SEE_LOG, ServiceError, UnexplainedError
from fair_dagster.orchestration.run_config import QUIET
from fair_dagster.orchestration.runs import causes
from fair_dagster.orchestration.runs.causes import failure_cause, log_tail
from fair_dagster.settings import PROJECT_ROOT, Settings
from tests.storage.s3.faulty import FaultyProxy, faulty_proxy


@pytest.fixture
def proxy(s3_server: Any) -> Iterator[FaultyProxy]:
    with faulty_proxy(s3_server.endpoint) as found:
        yield found


@pytest.fixture
def instance(
    proxy: FaultyProxy, s3_server: Any, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """An instance with the log place of the team's file, on a server that can hang."""
    import yaml

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
    monkeypatch.setenv("DAGSTER_LOGS_BUCKET", s3_bucket)
    team = yaml.safe_load((PROJECT_ROOT / "deploy" / "dagster" / "dagster.yaml").read_text())
    logs = team["compute_logs"] | {"config": team["compute_logs"]["config"] | {"local_dir": str(tmp_path / "logs")}}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"telemetry": {"enabled": False}, "compute_logs": logs}))
    with dg.DagsterInstance.from_config(str(tmp_path)) as found:
        yield found


def _failed(instance: dg.DagsterInstance, capfd: pytest.CaptureFixture[str]) -> str:
    @dg.op
    def step() -> None:
        import subprocess
        import sys

        subprocess.run([sys.executable, "-c", "print('epoch 1 of 3')"], check=False)
        raise UnexplainedError("training of 'town-v1' was killed before it could say why")

    @dg.job
    def work() -> None:
        step()

    with capfd.disabled():
        return work.execute_in_process(instance=instance, raise_on_error=False, run_config=dict(QUIET)).run_id


def test_what_a_step_printed_is_read_from_the_bucket(
    instance: dg.DagsterInstance, s3_server: Any, s3_bucket: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_id = _failed(instance, capfd)
    stored = [path.name for path in (s3_server.data / s3_bucket).rglob("*") if path.is_file()]
    assert any(name.endswith(".out") for name in stored)

    assert "epoch 1 of 3" in failure_cause(Settings(home=tmp_path), instance, run_id)


def test_a_bucket_that_hangs_is_given_up(
    instance: dg.DagsterInstance,
    proxy: FaultyProxy,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It neither fails nor answers: without a limit the tick that tells of the run would end without having told."""
    run_id = _failed(instance, capfd)
    for path in (tmp_path / "logs").rglob("*"):
        # What this machine has captured itself is not asked for.
        if path.is_file():
            path.unlink()
    monkeypatch.setattr(causes, "LOG_SECONDS", 0.3)
    proxy.hold.set()

    cause = failure_cause(Settings(home=tmp_path), instance, run_id)
    with pytest.raises(ServiceError, match=r"did not come within 0\.3 s"):
        log_tail(Settings(home=tmp_path), instance, run_id, 10)

    assert proxy.hold.is_set()
    assert cause == f"training of 'town-v1' was killed before it could say why; {SEE_LOG}"

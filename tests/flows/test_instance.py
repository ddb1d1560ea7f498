"""The Dagster instance: its configuration for one machine and for a team, as Dagster itself reads them."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from fair_dagster.orchestration import keys
from fair_dagster.orchestration.instance import open_instance, prepare_instance
from fair_dagster.orchestration.ops.training import predict_images, run_training
from fair_dagster.orchestration.run_config import QUIET
from fair_dagster.orchestration.runs.failures import read_failures, start_queue
from fair_dagster.settings import PROJECT_ROOT, Settings

TEAM = PROJECT_ROOT / "deploy" / "dagster" / "dagster.yaml"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return Settings(home=tmp_path / "home")


@pytest.fixture(scope="module")
def postgres() -> Iterator[dict[str, str]]:
    """The environment of a PostgreSQL of our own, with an empty database."""
    pytest.importorskip("dagster_postgres", reason="the extra `team` is not installed")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL's server is not installed")
    # PostgreSQL refuses to run as root.
    root = os.getuid() == 0
    if root and subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    user: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if root else {}
    # Not pytest's folder, which is closed to other users.
    with tempfile.TemporaryDirectory() as name, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
        probe.close()
        folder, tools = Path(name), found[-1].parent
        if root:
            shutil.chown(folder, "postgres")
        data = folder / "data"
        initdb = [tools / "initdb", "-D", data, "-A", "trust", "-U", "fair", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=name, **user)
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        server = subprocess.Popen(
            [tools / "postgres", "-D", data, "-p", port, "-k", name, *options],
            cwd=name,
            stderr=subprocess.DEVNULL,
            **user,
        )
        try:
            createdb = [tools / "createdb", "-h", "127.0.0.1", "-p", port, "-U", "fair", "dagster"]
            while subprocess.run(createdb, capture_output=True, check=False).returncode:
                assert server.poll() is None
                time.sleep(0.1)
            names = {"HOST": "127.0.0.1", "PORT": port, "USER": "fair", "PASSWORD": "unused", "DB": "dagster"}
            yield {f"DAGSTER_PG_{name}": value for name, value in names.items()}
        finally:
            server.send_signal(signal.SIGQUIT)
            server.wait()


@dg.op(pool=keys.TRAINING_POOL)
def train() -> None:
    raise ValueError("broken on purpose")


@dg.job
def training() -> None:
    train()


def test_on_one_machine_only_failures_of_the_machine_are_retried_and_trainings_have_no_limit(
    settings: Settings,
) -> None:
    with open_instance(settings) as instance:
        assert instance.run_retries_enabled
        assert not instance.run_retries_retry_on_asset_or_op_failure
        assert instance.run_monitoring_enabled
        assert not instance.telemetry_enabled
        config = instance.get_concurrency_config()
        assert config.pool_config.default_pool_limit is None
        # A killed training would hold a place that nothing frees without a daemon.
        training.execute_in_process(instance=instance, raise_on_error=False, run_config=dict(QUIET))
        assert instance.event_log_storage.get_pool_limits() == []


def test_a_configuration_that_is_there_stays(settings: Settings) -> None:
    settings.dagster_path.mkdir(parents=True)
    path = settings.dagster_path / "dagster.yaml"
    path.write_text("telemetry: {enabled: false}\n")
    prepare_instance(settings)
    assert path.read_text() == "telemetry: {enabled: false}\n"


def test_the_teams_configuration_holds_no_password() -> None:
    database = yaml.safe_load(TEAM.read_text())["storage"]["postgres"]["postgres_db"]
    assert all(set(value) == {"env"} for value in database.values())


def test_a_team_shares_runs_and_places_for_trainings_in_postgresql(
    tmp_path: Path, postgres: dict[str, str], s3_server: Any, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(TEAM, tmp_path / "dagster.yaml")
    logs = {
        "DAGSTER_LOGS_BUCKET": s3_bucket,
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
        "AWS_ENDPOINT_URL_S3": s3_server.endpoint,
    }
    for name, value in (postgres | logs | {"DAGSTER_HOME": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    with open_instance(Settings(home=tmp_path / "home")) as instance:
        assert type(instance.run_storage).__name__ == "PostgresRunStorage"
        queue = start_queue(instance)
        failed = training.execute_in_process(instance=instance, raise_on_error=False, run_config=dict(QUIET))
        assert read_failures(instance, queue).untold == (failed.run_id,)
        pool = instance.event_log_storage.get_concurrency_info(keys.TRAINING_POOL)
        assert (pool.slot_count, pool.active_slot_count) == (2, 0)
        assert not instance.run_retries_retry_on_asset_or_op_failure


def test_what_trains_and_nothing_else_is_in_the_pool() -> None:
    assert run_training.pool == keys.TRAINING_POOL
    assert predict_images.pool is None

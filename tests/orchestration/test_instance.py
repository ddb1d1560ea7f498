"""The Dagster instance: its configuration for one machine and for a team, as Dagster itself reads them."""

import shutil
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

"""Which executor a setting gives, and what is said where it cannot be had."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from fair_dagster.cli.root import root
from fair_dagster.definitions import build_defs
from fair_dagster.domain.errors import RefusedError
from fair_dagster.fair import Fair
from fair_dagster.orchestration.workers.broker import address
from fair_dagster.orchestration.workers.executors import executor_of, training_tags
from fair_dagster.settings import Settings

URL = "redis://user:s3cret@broker.example:7000/1?socket_timeout=5"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    for name in ("FAIR_EXECUTOR", "FAIR_BROKER_URL", "FAIR_PARTITIONS_A_RUN"):
        monkeypatch.delenv(name, raising=False)
    return lambda **values: Settings(home=tmp_path / "home", **values)


def test_one_machine_executes_steps_in_the_process_of_their_run(settings: Callable[..., Settings]) -> None:
    assert executor_of(settings()) is dg.in_process_executor
    assert training_tags(settings()) == {}
    assert settings().partitions_of_run == 500


def test_machines_share_a_backfill_in_smaller_runs(settings: Callable[..., Settings]) -> None:
    assert settings(executor="celery").partitions_of_run == 100
    assert settings(executor="celery", partitions_a_run=7).partitions_of_run == 7
    found = build_defs(settings=settings(executor="celery", broker_url=URL, partitions_a_run=7))
    policies = {asset.backfill_policy.max_partitions_per_run for asset in assets(found) if asset.backfill_policy}
    assert policies == {7}


def assets(definitions: dg.Definitions) -> list[Any]:
    return [asset for asset in definitions.assets or () if isinstance(asset, dg.AssetsDefinition)]


@pytest.mark.parametrize(
    ("url", "reason"),
    [(None, "FAIR_BROKER_URL is not set"), ("amqp://user:s3cret@host//", "begins with amqp://; only Redis")],
)
def test_a_broker_that_is_none_is_refused_when_the_definitions_load(
    settings: Callable[..., Settings], url: str | None, reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason) as refused:
        build_defs(settings=settings(executor="celery", broker_url=url))
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("executor", ["celery", "kubernetes"])
def test_a_package_that_is_missing_is_named_with_what_installs_it(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, executor: str
) -> None:
    def missing(_name: str) -> None:
        raise ModuleNotFoundError("No module", name="dagster_celery")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(RefusedError, match="'dagster_celery' is not installed; install fair-dagster with its extra"):
        executor_of(settings(executor=executor, broker_url=URL))


def test_a_brokers_address_is_told_without_its_password() -> None:
    assert address(URL) == "redis://broker.example:7000/1"


def test_a_worker_takes_from_both_queues_unless_told_and_shows_no_password(settings: Callable[..., Settings]) -> None:
    pytest.importorskip("celery", reason="the extra `team` is not installed")
    workers = Fair(settings(broker_url=URL)).workers
    command = workers.command()
    assert command[command.index("--queues") + 1] == "dagster,training"
    assert "s3cret" not in " ".join(command)
    named = workers.command(("training",), concurrency=2, name="trainer")
    assert named[named.index("--queues") + 1] == "training"
    assert named[named.index("--hostname") + 1].startswith("trainer@")
    assert named[named.index("--concurrency") + 1] == "2"


@pytest.mark.parametrize("command", [["worker", "start"], ["worker", "list"]])
def test_a_worker_without_a_broker_says_what_to_set(
    settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    pytest.importorskip("celery", reason="the extra `team` is not installed")
    monkeypatch.setenv("FAIR_HOME", str(settings().home))
    found = CliRunner().invoke(root, command)
    assert found.exit_code == 1
    assert "FAIR_BROKER_URL is not set" in found.output + (found.stderr or "")


def test_a_broker_that_does_not_answer_is_named(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("celery", reason="the extra `team` is not installed")
    monkeypatch.setenv("FAIR_HOME", str(settings().home))
    monkeypatch.setenv("FAIR_BROKER_URL", "redis://:s3cret@127.0.0.1:1/0")
    found = CliRunner().invoke(root, ["worker", "list"])
    told = found.output + (found.stderr or "")
    assert found.exit_code == 1
    assert "the broker redis://127.0.0.1:1/0 does not answer" in told
    assert "s3cret" not in told

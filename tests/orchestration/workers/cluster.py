"""A team on one machine: Redis, a Dagster daemon and Celery workers as processes, each with a home of its own.

They share what a team shares: Dagster's database, the catalog and the artifacts. Nothing else is in one place.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import redis

from fair_dagster.orchestration.process_tags import process_of
from fair_dagster.settings import Settings

PASSWORD = "s3cret-of-the-broker"
PATIENCE = 240.0
_DAGSTER = """
telemetry: {enabled: false}
nux: {enabled: false}
storage:
  postgres:
    postgres_db:
      hostname: {env: DAGSTER_PG_HOST}
      port: {env: DAGSTER_PG_PORT}
      username: {env: DAGSTER_PG_USER}
      password: {env: DAGSTER_PG_PASSWORD}
      db_name: {env: DAGSTER_PG_DB}
run_launcher:
  module: fair_dagster.orchestration.workers.launcher
  class: WorkerRunLauncher
  config: {config_source: %s}
run_queue: {max_concurrent_runs: 8, dequeue_interval_seconds: 1}
run_monitoring: {enabled: true, poll_interval_seconds: 5, start_timeout_seconds: 86400, cancel_timeout_seconds: 60}
run_retries: {enabled: true, max_retries: 2, retry_on_asset_or_op_failure: false}
"""
_WORKSPACE = """
load_from: [{python_module: {module_name: %s, location_name: fair-dagster}}]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(reached: Callable[[], Any], what: str, patience: float = PATIENCE) -> None:
    """Wait for something.

    Raises:
        TimeoutError: it did not come.
    """
    deadline = time.monotonic() + patience
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.2)


def group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def children_of(pid: int) -> list[int]:
    """The processes that a process has started, as Linux tells."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in path.read_text().split()]
    return found


@dataclass
class Redis:
    """A Redis that keeps what it was told on the disk, as a broker has to."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    @property
    def client(self) -> "redis.Redis[str]":
        return redis.Redis.from_url(self.url, decode_responses=True)

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        options = ["--dir", str(self.folder), "--appendonly", "yes", "--requirepass", PASSWORD, "--bind", "127.0.0.1"]
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._answers, "Redis", 30)

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(self.client.ping())
        return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None


class Member:
    """A process of the team on a machine of its own, with everything that it starts."""

    def __init__(self, team: "Team", name: str, command: list[str]) -> None:
        self.name, self._command = name, command
        self.settings = team.settings(name)
        self.log = team.folder / f"{name}.log"
        self.environment = team.environment(name)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self._command, env=self.environment, stdout=output, stderr=output, start_new_session=True
            )

    def signal(self, signum: signal.Signals) -> None:
        """To the process and all that it has started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signum)

    def kill(self) -> None:
        """What a power failure does."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
            self.process = None

    def told(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass
class Team:
    """What the members share, and how they are started. Without a ``catalog`` it is a folder."""

    folder: Path
    schema_cache: Path
    postgres: dict[str, str]
    redis: Redis
    catalog: str = ""
    pgstac_dsn: str | None = None
    members: list[Member] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)
    celery: dict[str, Any] = field(default_factory=dict)
    code: str = "fair_dagster.definitions"

    @property
    def models(self) -> Path:
        return self.folder / "models"

    def settings(self, name: str) -> Settings:
        return Settings(
            home=self.folder / name,
            catalog=self.catalog or str(self.folder / "catalog"),
            pgstac_dsn=self.pgstac_dsn,
            artifacts=str(self.folder / "artifacts"),
            models=self.models,
            schema_cache=self.schema_cache,
            offline=True,
        )

    def environment(self, name: str) -> dict[str, str]:
        dagster = self.folder / name / "dagster"
        dagster.mkdir(parents=True, exist_ok=True)
        (dagster / "dagster.yaml").write_text(_DAGSTER % json.dumps(self.celery))
        scaled = {"FAIR_EXECUTOR": "celery", "FAIR_BROKER_URL": self.redis.url, "FAIR_SENSOR_INTERVAL": "3600"}
        if self.pgstac_dsn:
            scaled["FAIR_PGSTAC_DSN"] = self.pgstac_dsn
        own = self.settings(name).environment() | scaled | {"DAGSTER_HOME": str(dagster)} | self.extra
        return {**os.environ, **self.postgres, **own}

    def member(self, name: str, *command: str) -> Member:
        found = Member(self, name, list(command))
        self.members.append(found)
        found.start()
        return found

    def worker(self, name: str, *options: str) -> Member:
        script = Path(sys.executable).with_name("fair-dagster")
        return self.member(name, str(script), "worker", "start", "--name", name, *options)

    def daemon(self) -> Member:
        workspace = self.folder / "workspace.yaml"
        workspace.write_text(_WORKSPACE % self.code)
        return self.member("daemon", sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace))

    def run_of(self, worker: Member, instance: dg.DagsterInstance) -> str:
        """The id of a run whose step the worker executes; empty when there is none."""
        for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            if self.has(worker, run) and instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_START):
                return run.run_id
        return ""

    def has(self, worker: Member, run: dg.DagsterRun) -> bool:
        """Whether the worker executes the run."""
        process = process_of(run)
        return process is not None and worker.process is not None and group_of(process.pid) == worker.process.pid

    @contextlib.contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """Dagster's database as the members see it; the environment has to name it."""
        home = self.folder / "observer"
        home.mkdir(exist_ok=True)
        (home / "dagster.yaml").write_text(_DAGSTER % json.dumps(self.celery))
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield instance

    def end(self) -> None:
        for member in self.members:
            member.signal(signal.SIGCONT)
            member.kill()

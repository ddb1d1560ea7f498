"""Trainings as the system puts them into the outbox, and a real MLflow server."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from fair_dagster.net.processes import Process
from fair_dagster.pipelines import metadata
from fair_dagster.settings import Settings
from fair_dagster.tracking import outbox
from fair_dagster.tracking.environment import sender_environment
from fair_dagster.tracking.outbox import Entry, Note, TrackedRun

# A machine that runs many tests answers late; one that is down is known at once.
_PATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}
UUID = "8d2f0a54-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class Home:
    """A home, and the trainings in its outbox."""

    settings: Settings

    @property
    def outbox(self) -> Path:
        return self.settings.tracking_path / "outbox"

    def begin(self, key: str = "roofs-v1-8d2f0a54", **changed: Any) -> Entry:
        note = self.settings.runs_path / key / "tracked.json"
        note.parent.mkdir(parents=True, exist_ok=True)
        fields: dict[str, Any] = {
            "key": key,
            "experiment": "tiny-model",
            "name": "roofs-v1",
            "version_uuid": UUID,
            "note": str(note),
            "params": {"epochs": "3"},
            "tags": {"fair.model": "roofs", "fair.base_model": "tiny-model-v2", "dagster.run_id": "7a1c"},
            "begun": datetime.now(UTC).isoformat(),
            "owner": str(Process.of(os.getpid())),
        }
        return outbox.add_run(self.outbox, TrackedRun(**{**fields, **changed}))

    def note(self, entry: Entry) -> Note | None:
        return Note.of(self.settings.runs_path / entry.folder.name / "tracked.json", entry.folder.name)

    def send(self, *entries: Entry, **environment: str) -> "list[subprocess.Popen[str]]":
        """Start the sender as the system does, one for each entry; without any, one for what is left."""
        settings = self.settings
        return [
            subprocess.Popen(
                [sys.executable, "-m", "fair_dagster.tracking.sender", *arguments],
                env={**os.environ, **sender_environment(settings, os.environ), **_PATIENT, **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for arguments in ([[str(entry.folder)] for entry in entries] or [[]])
        ]

    def sent(self, *entries: Entry, **environment: str) -> list[str]:
        """What the senders printed, once they have ended well."""
        started = self.send(*entries, **environment)
        printed = [process.communicate(timeout=120)[0] for process in started]
        assert [process.returncode for process in started] == [0] * len(started), printed
        return printed


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(Settings(home=tmp_path / "home", tracking="mlflow", tracking_uri=""))


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch) -> Callable[[Entry], None]:
    """Let the helpers of a pipeline report into an entry."""

    def into(entry: Entry) -> None:
        monkeypatch.setenv(metadata.TRACKING_VARIABLE, str(entry.events_path))

    return into


@pytest.fixture
def mlflow_client(home: Home, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the home's own folder."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=(home.settings.tracking_path / "mlflow").as_uri())


@dataclass
class MlflowServer:
    """A server that can be stopped and started; its database stays."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}"),
            *("--artifacts-destination", str(self.folder / "artifacts")),
        ]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # The workers of its job queue load MLflow once more each.
                env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            )
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), urlopen(f"{self.url}/health", timeout=5) as answer:
                assert answer.status == 200
                return
            assert self.process.poll() is None, (self.folder / "server.log").read_text()[-2000:]
            time.sleep(0.2)
        raise AssertionError("MLflow's server does not answer")

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    pytest.importorskip("mlflow.server", reason="the extra `services` is not installed: mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"), port)
    try:
        server.start()
        yield server
    finally:
        server.stop()

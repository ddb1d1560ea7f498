"""Trainings as the system leaves them behind, and a real MLflow server."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from fair_dagster.net.processes import Process
from fair_dagster.pipelines.tracking.mlflow_runs import MlflowRuns, local_uri
from fair_dagster.pipelines.tracking.trainings import Ending, TrackedTraining
from fair_dagster.settings import Settings

UUID = "8d2f0a54-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class Home:
    """A home, and the trainings that are tracked in it."""

    settings: Settings

    @property
    def local(self) -> MlflowRuns:
        return MlflowRuns(local_uri(self.settings), self.settings)

    def begin(self, key: str = "roofs-v1-8d2f0a54", **changed: Any) -> TrackedTraining:
        fields: dict[str, Any] = {
            "key": key,
            "experiment": "tiny-model",
            "name": "roofs-v1",
            "version_uuid": UUID,
            "params": {"epochs": "3"},
            "tags": {"fair.model": "roofs", "fair.base_model": "tiny-model-v2", "dagster.run_id": "7a1c"},
            "begun": datetime.now(UTC).isoformat(),
            "result": str(self.settings.runs_path / key / "result.json"),
            "elsewhere": bool(self.settings.tracking_uri),
            "owner": str(Process.of(os.getpid())),
        }
        training = TrackedTraining(**{**fields, **changed})
        training.write(self.settings)
        return training

    def open_run(self, training: TrackedTraining, **losses: float) -> str:
        """What ZenML's experiment tracker begins, with one value an epoch; its id."""
        local = self.local
        tags = {**training.all_tags, "zenml": "0.98.0"}
        run = local.client.create_run(local.experiment(training.experiment), run_name="roofs-v1-2026-x", tags=tags)
        for epoch, value in enumerate(losses.values(), start=1):
            local.client.log_metric(run.info.run_id, "train_loss", value, step=epoch)
        return str(run.info.run_id)

    def end(self, training: TrackedTraining, ending: Ending = "FINISHED", model: bytes = b"onnx") -> TrackedTraining:
        """What the runner leaves at the end of a training, and the op notes."""
        result = Path(training.result)
        folder = result.parent / "onnx_model"
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(model)
        outcome = {
            "status": "completed",
            "run_name": "roofs-v1-2026-x",
            "run_id": "abc",
            "metrics": {"iou": 0.5, "per_class/roof": 0.4},
            "loss_history": {"train_loss": [1.0, 0.5, 0.25], "val_loss": [1.0, None, 1.0]},
            "wall_seconds": 3.5,
            "artifacts": {"onnx_model": str(folder)},
        }
        result.write_text(json.dumps(outcome))
        ended = training.ended_as(ending)
        ended.write(self.settings)
        return ended


@pytest.fixture(scope="session")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of MLflow's: making the tables takes seconds."""
    settings = Settings(home=tmp_path_factory.mktemp("empty"), tracking="mlflow", tracking_uri="")
    MlflowRuns(local_uri(settings), settings)
    return settings.tracking_path / "mlflow.db"


@pytest.fixture
def home(tmp_path: Path, mlflow_database: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", (tmp_path / "home" / "tracking" / "artifacts").as_uri())
    # A machine that runs many tests answers late; one that is down is known at once.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    home = Home(Settings(home=tmp_path / "home", tracking="mlflow", tracking_uri=""))
    home.settings.tracking_path.mkdir(parents=True)
    shutil.copy(mlflow_database, home.settings.tracking_path)
    return home


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
                env={name: value for name, value in os.environ.items() if name != "_MLFLOW_SERVER_ARTIFACT_ROOT"}
                | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            )
        deadline = time.monotonic() + 300
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
def mlflow_server(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Iterator[MlflowServer]:
    pytest.importorskip("mlflow.server", reason="the extra `services` is not installed: mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"), port)
    shutil.copy(mlflow_database, server.folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()

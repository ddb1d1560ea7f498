"""One FAIR_HOME with a real ZenML for all tests here: creating its database takes seconds."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from fair_dagster.pipelines.zenml.model_versions import ModelVersions
from fair_dagster.pipelines.zenml.runs import Runs
from fair_dagster.settings import Settings

DATA = Path(__file__).parent / "data"
ENTRYPOINT = "models.tiny_model.pipeline:training_pipeline"


@dataclass(frozen=True)
class Ended:
    """A runner that has ended."""

    code: int
    output: str
    result: dict[str, Any] | None


@dataclass(frozen=True)
class Runner:
    """Starts runner processes in the shared home."""

    settings: Settings
    folder: Path

    def start(self, command: str, config: dict[str, Any], name: str, **extra: str) -> subprocess.Popen[str]:
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(config))
        entrypoint = extra.pop("entrypoint", ENTRYPOINT)
        arguments = ["--entrypoint", entrypoint] if command == "train" else []
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "fair_dagster.pipelines.runner", command),
                *("--config", str(path), "--result", str(self.folder / f"{name}.json"), *arguments),
            ],
            cwd=self.folder,
            env=os.environ | {"FAIR_HOME": str(self.settings.home), "FAIR_MODELS": str(self.settings.models)} | extra,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str], name: str) -> Ended:
        output, _ = process.communicate(timeout=180)
        result = self.folder / f"{name}.json"
        return Ended(process.returncode, output, json.loads(result.read_text()) if result.exists() else None)

    def run(self, command: str, config: dict[str, Any], name: str, **extra: str) -> Ended:
        return self.finish(self.start(command, config, name, **extra), name)

    def end_while_training(self, config: dict[str, Any], name: str, signum: signal.Signals) -> Ended:
        """Start a training, send it a signal once its step has begun, and wait for its end."""
        progress = self.folder / f"{name}.progress"
        process = self.start("train", config, name, FAIR_PROGRESS_FILE=str(progress))
        deadline = time.monotonic() + 120
        while not progress.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise AssertionError(f"training never began: {process.communicate()[0]}")
            time.sleep(0.05)
        process.send_signal(signum)
        return self.finish(process, name)


@pytest.fixture(scope="session")
def settings(zenml_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    models = tmp_path_factory.mktemp("pipelines") / "models"
    shutil.copytree(DATA, models)
    return Settings(home=zenml_home, models=models)


@pytest.fixture(scope="session")
def versions(settings: Settings) -> ModelVersions:
    return ModelVersions(settings)


@pytest.fixture(scope="session")
def runs(settings: Settings) -> Runs:
    return Runs(settings)


@pytest.fixture(scope="session")
def runner(settings: Settings) -> Runner:
    folder = settings.models.parent / "work"
    folder.mkdir()
    return Runner(settings, folder)


@pytest.fixture(scope="session")
def chips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four 8 px chips, one brighter than the other."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("chips")
    for index, level in enumerate((10, 60, 120, 240)):
        Image.new("RGB", (8, 8), (level, level, level)).save(folder / f"OAM-{index}-0-18.png")
    return folder


@pytest.fixture(scope="session")
def training_config(chips: Path) -> Callable[..., dict[str, Any]]:
    """A run configuration as the system writes it, for a version that was allocated before."""

    def make(name: str, number: int, **hyperparameters: Any) -> dict[str, Any]:
        return {
            "run_name": f"{name}-{{date}}-{{time}}",
            "enable_cache": False,
            "model": {"name": name, "version": str(number)},
            "parameters": {
                "base_model_weights": "",
                "dataset_chips": str(chips),
                "dataset_labels": "labels.geojson",
                "num_classes": 2,
                "hyperparameters": {"epochs": 4, **hyperparameters},
            },
            "steps": {"train_model": {"parameters": {"model_name": name}}},
        }

    return make

"""Predicting in a child process without Dagster."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
import yaml

from fair_dagster.domain.errors import PipelineError
from fair_dagster.flows.predictions import Prediction, run_here
from fair_dagster.flows.services import Services
from fair_dagster.settings import PROJECT_ROOT, Settings

ONNX = PROJECT_ROOT / "models" / "texture_segmentation" / "weights" / "model.onnx"


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return Services(Settings(home=tmp_path / "home", models=tmp_path / "models", offline=True))


def prepared(services: Services, tmp_path: Path, body: str) -> Prediction:
    """A prediction whose ``predict`` has this body."""
    folder = services.settings.models / "odd"
    folder.mkdir(parents=True)
    (folder / "pipeline.py").write_text(f"import os, time\n\ndef predict(session, images, params):\n    {body}\n")
    config = {
        "entrypoint": "models.odd.pipeline:predict",
        "model_uri": str(ONNX),
        "input_images": str(tmp_path),
        "output": str(tmp_path / "out.geojson"),
    }
    path = services.settings.runs_path / "predict-1" / "prediction.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(config))
    return Prediction("odd", path, tmp_path / "out.geojson", path.with_name("result.json"))


def test_the_cause_of_a_failure_is_in_the_error_and_its_log_is_named(services: Services, tmp_path: Path) -> None:
    prediction = prepared(services, tmp_path, "raise ValueError('these chips cannot be read')")
    with pytest.raises(PipelineError, match=r"these chips cannot be read.*predict-1/output\.log"):
        run_here(services, prediction)


def test_a_child_that_is_killed_is_no_success(services: Services, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="ended with exit code -9"):
        run_here(services, prepared(services, tmp_path, "os.kill(os.getpid(), 9)"))


def test_an_interrupt_ends_the_child(services: Services, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    prediction = prepared(services, tmp_path, f"open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(300)")

    def interrupt() -> None:
        while not (mark.exists() and mark.read_text()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_here(services, prediction)
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)

"""A prediction by the workers: images and model go there, the GeoJSON comes back, and nothing is left in between."""

import json
import os
from pathlib import Path

import pytest

from fair_dagster.domain.errors import PipelineError
from fair_dagster.fair import Fair
from fair_dagster.imagery.synthesize import synthesize
from fair_dagster.settings import Settings
from tests.orchestration.workers.cluster import Team, step_of, until

MODEL = "texture-segmentation"


@pytest.fixture
def asking(team: Team, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a machine that asks for predictions, in this process and those that it starts."""
    for name, value in team.environment("asking").items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)
    return Settings()


def test_a_prediction_is_made_where_a_worker_is_and_comes_back(team: Team, asking: Settings, tmp_path: Path) -> None:
    worker = team.worker("painter", "--concurrency", "1", "--queue", "dagster")
    images = synthesize(tmp_path / "data", chips=2, size=64, seed=5).train_chips
    output = tmp_path / "found.geojson"
    started = Fair(asking).predict(MODEL, images, output=output)
    until(lambda: step_of(team, worker), "the step")
    assert worker.process is not None
    worker.process.terminate()
    assert Path(started.wait()) == output, "SIGTERM lets the step at hand end"
    assert worker.process.wait(60) == 0
    assert json.loads(output.read_text())["type"] == "FeatureCollection"
    assert "predict_images" in worker.told()
    assert list((team.folder / "artifacts" / "predictions").glob("*")) == []
    assert list((worker.settings.home / "runs").glob("predict-*")) == []
    with team.instance() as instance:
        (run,) = [run for run in instance.get_runs() if run.run_id == started.run_id]
        assert run.tags["fair/process"].startswith(f"{run.run_id}/"), "the process that waits is the run's"
        messages = [entry.message for entry in instance.all_logs(run.run_id)]
    assert not [message for message in messages if message.startswith("Handed out again")]


def test_a_broker_that_refuses_the_password_is_named_and_shows_none(
    team: Team, asking: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIR_BROKER_URL", team.redis.url.replace("s3cret-of-the-broker", "wr0ng-s3cret"))
    images = synthesize(tmp_path / "data", chips=2, size=64, seed=5).train_chips
    started = Fair(Settings()).predict(MODEL, images, output=tmp_path / "found.geojson")
    with pytest.raises(PipelineError, match="refuses the user or password of FAIR_BROKER_URL") as failed:
        started.wait()
    assert "s3cret" not in str(failed.value)
    assert "Stack Trace" not in str(failed.value)
    assert not (tmp_path / "found.geojson").exists()
    assert list((team.folder / "artifacts" / "predictions").glob("*")) == []

"""The runner as its callers use it: a process, a configuration file, an exit code and a result file."""

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fair_dagster.pipelines.zenml.model_versions import ModelVersions
from fair_dagster.pipelines.zenml.run_records import FINISHED
from fair_dagster.pipelines.zenml.runs import Runs
from tests.pipelines.conftest import Ended, Runner

Config = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def trained(runner: Runner, versions: ModelVersions, training_config: Config) -> Ended:
    """One good training that several tests look at."""
    version = versions.create("tiny-good", tags=["demo"])
    versions.log(version.uuid, {"fair/request": {"base_model": "tiny-model", "seed": 7}})
    progress = str(runner.folder / "good.progress")
    config = training_config("tiny-good", version.number)
    return runner.run("train", config, "good", FAIR_PROGRESS_FILE=progress)


def test_a_training_reports_version_metrics_artifacts_and_step_times(trained: Ended) -> None:
    assert trained.code == 0, trained.output
    result = trained.result
    assert result is not None
    assert (result["status"], result["error"], result["model"], result["version"]) == (
        "completed",
        None,
        "tiny-good",
        1,
    )
    assert result["metrics"] == {"threshold": pytest.approx(190 / 3), "per_class_iou/building": 0.5}
    assert result["loss_history"]["train_loss"] == [1.0, 0.5, pytest.approx(1 / 3), 0.25]
    assert (Path(result["artifacts"]["onnx_model"]) / "model.onnx").stat().st_size > 0
    assert (Path(result["artifacts"]["trained_model"]) / "checkpoint.bin").is_file()
    names = ["split_dataset", "train_model", "evaluate_model", "export_onnx"]
    assert [step["name"] for step in result["steps"]] == names
    assert all(step["seconds"] > 0 for step in result["steps"])


def test_the_version_reads_like_the_result_and_its_request_is_no_metric(
    trained: Ended, versions: ModelVersions
) -> None:
    version = versions.get("tiny-good", 1)
    assert trained.result is not None
    assert version.uuid == trained.result["version_uuid"]
    assert dict(version.training.metrics) == trained.result["metrics"]
    assert version.request == {"base_model": "tiny-model", "seed": 7}
    assert version.run_ids == (trained.result["run_id"],)
    assert version.onnx_uri == trained.result["artifacts"]["onnx_model"]


def test_a_split_that_was_logged_on_the_step_only_is_found_on_the_version(
    trained: Ended, versions: ModelVersions
) -> None:
    split = versions.get("tiny-good", 1).training.split
    assert split["strategy"] == "last"
    assert trained.result is not None
    assert trained.result["split"] == split


def test_progress_is_told_while_training(trained: Ended, runner: Runner) -> None:
    last = json.loads((runner.folder / "good.progress").read_text().splitlines()[-1])
    assert (last["done"], last["total"], last["what"]) == (4, 4, "epoch")


def test_nothing_is_written_outside_the_home(trained: Ended, runner: Runner) -> None:
    allowed = {"good.yaml", "good.json", "good.progress"}
    assert {path.name for path in runner.folder.iterdir() if path.name.startswith("good")} == allowed
    artifacts = (trained.result or {})["artifacts"].values()
    assert all(Path(uri).is_relative_to(runner.settings.home) for uri in artifacts)


def test_logs_of_a_step_can_be_read_afterwards(trained: Ended, runs: Runs) -> None:
    run = (trained.result or {})["run_id"]
    lines = runs.logs(run, step="train_model")
    assert any("training tiny-good" in line.message for line in lines)
    assert not any("training tiny-good" in line.message for line in runs.logs(run, step="export_onnx"))
    everything = runs.logs(run)
    assert runs.logs(run, tail=3) == everything[-3:]
    newest = everything[-1].time
    assert newest is not None
    assert all(line.time is not None and line.time >= newest for line in runs.logs(run, since=newest))


@dataclass(frozen=True)
class Zen:
    """What a test looks at besides the runner."""

    versions: ModelVersions
    runs: Runs


@pytest.fixture(scope="module")
def zen(versions: ModelVersions, runs: Runs) -> Zen:
    return Zen(versions, runs)


def test_a_raising_step_is_named_with_its_own_exception(runner: Runner, zen: Zen, training_config: Config) -> None:
    step, cause = "train_model", "ValueError: the labels do not fit the chips"
    version = zen.versions.create("tiny-bad")
    name = f"bad-{step}"
    ended = runner.run("train", training_config("tiny-bad", version.number, fail=step), name)
    assert ended.code == 1
    result = ended.result
    assert result is not None
    assert (result["status"], result["step"]) == ("failed", step)
    assert result["error"].startswith(cause)
    assert "pipeline.py" in result["error"]
    assert "Pipeline run has failed" not in result["error"]
    assert cause in "\n".join(ended.output.splitlines()[-10:])
    assert zen.runs.show(result["run_id"]).status == "failed"


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_a_stopped_run(
    signum: signal.Signals, code: int, runner: Runner, zen: Zen, training_config: Config
) -> None:
    version = zen.versions.create("tiny-stopped")
    config = training_config("tiny-stopped", version.number, sleep=60)
    ended = runner.end_while_training(config, f"signal-{code}", signum)
    assert ended.code == code, ended.output
    assert ended.result is not None
    assert ended.result["status"] == "stopped"
    run = zen.runs.show(ended.result["run_id"])
    assert run.status == "stopped"
    assert all(step.status in FINISHED for step in run.steps)
    assert [step.name for step in run.steps] == ["split_dataset", "train_model"]


def test_a_killed_run_is_found_by_its_version_and_marked_stopped(
    runner: Runner, versions: ModelVersions, runs: Runs, training_config: Config
) -> None:
    version = versions.create("tiny-killed")
    config = training_config("tiny-killed", version.number, sleep=60)
    ended = runner.end_while_training(config, "killed", signal.SIGKILL)
    assert (ended.code, ended.result) == (-signal.SIGKILL, None)
    (left,) = runs.list(version_uuid=version.uuid)
    assert left.status == "running"
    stopped = runs.mark_stopped(left.id, "its process was killed")
    assert stopped.status == "stopped"
    assert all(step.status in ("completed", "stopped") for step in stopped.steps)
    assert runs.mark_stopped(left.id) == stopped


def test_entrypoints_outside_the_allowed_packages_are_never_imported(
    runner: Runner, versions: ModelVersions, training_config: Config
) -> None:
    ended = runner.run("train", training_config("x", 1), "outside", entrypoint="os.path:join")
    assert ended.code == 1
    assert "outside the allowed packages" in (ended.result or {})["error"]


def test_an_incomplete_prediction_is_refused_with_every_missing_key(runner: Runner) -> None:
    ended = runner.run("predict", {"entrypoint": "models.tiny_model.pipeline:predict"}, "incomplete")
    assert ended.code == 1
    for key in ("model_uri", "input_images", "output"):
        assert f"'{key}' is missing" in (ended.result or {})["error"]


def _prediction(trained: Ended, chips: Path, output: Path, **params: Any) -> dict[str, Any]:
    return {
        "entrypoint": "models.tiny_model.pipeline:predict",
        "model_uri": (trained.result or {})["artifacts"]["onnx_model"],
        "input_images": str(chips),
        "inference_params": params,
        "output": str(output),
    }


def test_a_prediction_writes_what_the_model_drew(trained: Ended, runner: Runner, chips: Path) -> None:
    output = runner.folder / "drawn.geojson"
    ended = runner.run("predict", _prediction(trained, chips, output), "draw")
    assert ended.code == 0, ended.output
    assert ended.result == {"status": "completed", "error": None, "features": 4, "output": str(output)}
    drawn = json.loads(output.read_text())
    assert [feature["properties"]["bright"] for feature in drawn["features"]] == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("params", "cause"),
    [
        ({"fail": True}, "ValueError: these chips cannot be read"),
        ({"nonsense": True}, "did not return GeoJSON"),
    ],
)
def test_a_failed_prediction_leaves_no_output(
    params: dict[str, Any], cause: str, trained: Ended, runner: Runner, chips: Path
) -> None:
    output = runner.folder / "never.geojson"
    ended = runner.run("predict", _prediction(trained, chips, output, **params), "never")
    assert ended.code == 1
    assert cause in (ended.result or {})["error"]
    assert not output.exists()


def test_dagster_receives_the_result_through_pipes(trained: Ended, runner: Runner, chips: Path) -> None:
    config = runner.folder / "piped.yaml"
    config.write_text(json.dumps(_prediction(trained, chips, runner.folder / "piped.geojson")))
    command = [
        *(sys.executable, "-m", "fair_dagster.pipelines.runner", "predict"),
        *("--config", str(config), "--result", str(runner.folder / "piped.json")),
    ]
    environment = {"FAIR_HOME": str(runner.settings.home), "FAIR_MODELS": str(runner.settings.models)}
    received: list[object] = []

    @dg.op
    def predict(context: dg.OpExecutionContext) -> None:
        client = dg.PipesSubprocessClient(env=environment)
        received.extend(client.run(context=context, command=command).get_custom_messages())

    @dg.job
    def prediction() -> None:
        predict()

    assert prediction.execute_in_process().success
    assert received == [json.loads((runner.folder / "piped.json").read_text())]

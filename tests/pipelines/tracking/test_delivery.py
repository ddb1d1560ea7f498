"""From the local MLflow to a real server: whole, once, whatever happens on the way."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.pipelines.tracking.delivery import deliver
from fair_dagster.pipelines.tracking.mlflow_runs import MODEL_FOLDER, MlflowRuns, artifact_folder, files_of
from fair_dagster.pipelines.tracking.trainings import (
    KEY_TAG,
    TrackedTraining,
    deletions_folder,
    open_trainings,
    trainings_folder,
)
from fair_dagster.settings import Settings
from tests.pipelines.tracking.conftest import UUID, Home, MlflowServer
from tests.storage.s3.faulty import faulty_proxy


def run_of(runs: MlflowRuns, training: TrackedTraining) -> Any:
    """The only run of a training."""
    (run,) = runs.of_tag(KEY_TAG, training.key)
    return run


def steps_of(runs: MlflowRuns, run: Any, name: str) -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in runs.client.get_metric_history(run.info.run_id, name)]


def test_a_local_run_is_whole_with_whatever_the_pipeline_began_beside_it(home: Home, tmp_path: Path) -> None:
    training = home.begin()
    home.open_run(training, first=1.0, second=0.5)
    local, tags = home.local, {KEY_TAG: training.key, "zenml": "x"}
    experiment = local.experiment("tiny-model")
    other = local.client.create_run(experiment, tags=tags).info.run_id
    for name, value in (("optimizer", "AdamW"), ("epochs", "3.0")):
        local.client.log_param(other, name, value)
    for step, value in ((1, 2.0), (2, 1.0)):
        local.client.log_metric(other, "grad_norm", value, step=step)
    local.client.log_text(other, "confusing", "matrix/of.txt")
    local.client.set_tag(other, "author", "somebody")
    trial = local.client.create_run(experiment, tags={**tags, "mlflow.parentRunId": other}).info.run_id
    local.client.log_metric(trial, "trial", 9.0)

    found = deliver(home.settings, [home.end(training)])
    assert found.problem is None
    (delivered,) = found.delivered
    run = run_of(local, training)
    assert (delivered.run_id, delivered.url) == (run.info.run_id, f"sqlite:///{home.settings.tracking_path}/mlflow.db")
    assert (run.info.status, run.info.run_name) == ("FINISHED", "roofs-v1")
    assert run.info.end_time
    kind = local.client.get_experiment(run.info.experiment_id).tags["mlflow.experimentKind"]
    assert kind == "custom_model_development", "MLflow's pages show losses for this kind only"
    assert steps_of(local, run, "train_loss") == [(1, 1.0), (2, 0.5), (3, 0.25)], "only the third epoch is new"
    assert math.isnan(steps_of(local, run, "val_loss")[1][1]), "a diverged loss stays in its epoch"
    assert steps_of(local, run, "grad_norm") == [(1, 2.0), (2, 1.0)]
    assert "trial" not in run.data.metrics, "a run inside a run is a try, not the model"
    assert run.data.metrics["per_class/roof"] == 0.4
    assert run.data.metrics["training_wall_seconds"] == 3.5
    assert run.data.params == {"epochs": "3.0", "optimizer": "AdamW"}
    assert run.data.tags["fair.param.epochs"] == "3", "a param that the pipeline logs with another value stops nothing"
    ours = {"fair.base_model": "tiny-model-v2", "fair.zenml_run": "roofs-v1-2026-x", "fair.zenml_version_id": UUID}
    assert {**run.data.tags, **ours, "author": "somebody"} == run.data.tags
    assert set(files_of(run)) == {"onnx_model/model.onnx", "matrix/of.txt"}
    assert not list(open_trainings(home.settings)), "what is complete is not kept twice"
    assert {path.name for path in tmp_path.iterdir()} == {"home"}, "nothing is written elsewhere"


def test_a_killed_training_is_closed_and_one_that_goes_on_is_left_alone(home: Home) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    killed = home.begin("killed", owner=f"{gone.pid}:1")
    going = home.begin("going")
    far = home.begin("far", owner=f"{gone.pid}:1", machine="another")
    for training in (killed, going, far):
        home.open_run(training, first=1.0)
    found = deliver(home.settings, open_trainings(home.settings))
    assert [one.training.key for one in found.delivered] == ["killed"]
    statuses = {one.key: run_of(home.local, one).info.status for one in (killed, going, far)}
    assert statuses == {"killed": "KILLED", "going": "RUNNING", "far": "RUNNING"}
    assert run_of(home.local, killed).data.params == {"epochs": "3"}
    assert {one.key for one in open_trainings(home.settings)} == {"going", "far"}


def test_steps_on_other_machines_leave_what_zenml_keeps(home: Home) -> None:
    training = home.begin()
    deliver(home.settings, [home.end(training, "FAILED")])
    run = run_of(home.local, training)
    assert run.info.status == "FAILED"
    assert steps_of(home.local, run, "train_loss") == [(1, 1.0), (2, 0.5), (3, 0.25)]
    assert run.data.metrics["iou"] == 0.5


def test_a_server_that_is_away_gets_everything_later_and_no_password_is_written(
    home: Home, mlflow_server: MlflowServer
) -> None:
    with_password = mlflow_server.url.replace("://", "://somebody:geheim@")
    away = Home(Settings(home=home.settings.home, tracking="mlflow", tracking_uri=with_password))
    training = away.begin(experiment="away")
    away.open_run(training, first=1.0, second=0.5)
    ended = away.end(training)
    mlflow_server.stop()
    try:
        found = deliver(away.settings, [ended])
        assert not found.delivered
        assert "127.0.0.1" in (found.problem or "")
        (waiting,) = open_trainings(away.settings)
        assert waiting.problem == found.problem
        assert run_of(away.local, training).info.status == "FINISHED", "here it is complete"
    finally:
        mlflow_server.start()
    deletions_folder(away.settings).mkdir()
    (deletions_folder(away.settings) / UUID).write_text("yes")
    found = deliver(away.settings, open_trainings(away.settings))
    assert found.problem is None
    assert "MLFLOW_TRACKING_PASSWORD" not in os.environ

    server = MlflowRuns(mlflow_server.url, home.settings)
    run, local = run_of(server, training), run_of(away.local, training)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "roofs-v1")
    assert run.info.end_time == local.info.end_time
    times = [
        [metric.timestamp for metric in runs.client.get_metric_history(one.info.run_id, "train_loss")]
        for runs, one in ((server, run), (away.local, local))
    ]
    assert times[0] == times[1]
    assert steps_of(server, run, "train_loss") == [(1, 1.0), (2, 0.5), (3, 0.25)]
    assert run.data.params == {"epochs": "3"}
    assert run.data.tags["fair.deleted"] == local.data.tags["fair.deleted"] == "yes"
    path = f"{MODEL_FOLDER}/model.onnx"
    assert [(f.path, f.file_size) for f in server.client.list_artifacts(run.info.run_id, MODEL_FOLDER)] == [(path, 4)]
    assert not artifact_folder(local).exists(), "files are not kept twice"
    (delivered,) = found.delivered
    page = f"{mlflow_server.url}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    assert delivered.url.partition("?")[0] == page
    files = [path for path in home.settings.home.rglob("*") if path.is_file()]
    assert not [path for path in files if b"geheim" in path.read_bytes()]
    assert not list(trainings_folder(home.settings).glob("*.json"))
    assert not list(deletions_folder(home.settings).iterdir())


_KILLED = """
import os, signal, sys
import mlflow
from mlflow import MlflowClient
from fair_dagster.pipelines.tracking.delivery import deliver
from fair_dagster.pipelines.tracking.trainings import open_trainings
from fair_dagster.settings import Settings

settings = Settings()
changing = ["create_experiment", "create_run", "log_batch", "log_artifact", "update_run", "set_terminated"]

def attempt(fatal):
    done = 0
    def counted(call):
        def counting(*args, **options):
            nonlocal done
            value = call(*args, **options)
            done += 1
            if done == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return value
        return counting
    for name in changing:
        setattr(MlflowClient, name, counted(getattr(MlflowClient, name)))
    found = deliver(settings, open_trainings(settings))
    os._exit(0 if found.problem is None and len(found.delivered) == 1 else 3)

for number in range(1, 100):
    child = os.fork() or attempt(number)
    _, status = os.waitpid(child, 0)
    print(status)
    if status != signal.SIGKILL:
        break
"""


@pytest.mark.xfail(reason="a value whose request was killed half-way can be there twice: not mended yet", strict=False)
def test_a_copy_that_is_killed_again_and_again_ends_whole_and_once(home: Home, mlflow_server: MlflowServer) -> None:
    training = home.begin(experiment="killed-copy", tags={f"tag.{number}": "x" for number in range(150)})
    home.open_run(training, **{f"epoch-{number}": 1 / (1 + number) for number in range(3)})
    home.end(training, model=b"x" * 100_000)
    environment = {
        "FAIR_HOME": str(home.settings.home),
        "FAIR_TRACKING": "mlflow",
        "FAIR_TRACKING_URI": mlflow_server.url,
    }
    printed = subprocess.run(
        [sys.executable, "-c", _KILLED], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    endings = printed.stdout.split()
    assert endings[-1] == "0", printed.stderr[-2000:]
    assert set(endings[:-1]) == {"9"}
    assert len(endings) > 4, "it was killed on its way"
    server = MlflowRuns(mlflow_server.url, home.settings)
    run = run_of(server, training)
    assert run.info.status == "FINISHED"
    assert steps_of(server, run, "train_loss") == [(1, 1.0), (2, 1 / 2), (3, 1 / 3)]
    assert steps_of(server, run, "iou") == [(0, 0.5)]
    assert sum(name.startswith("tag.") for name in run.data.tags) == 150
    (file,) = server.client.list_artifacts(run.info.run_id, MODEL_FOLDER)
    assert file.file_size == 100_000


def test_a_run_that_a_stacks_own_tracker_has_opened_on_the_server_is_filled_up(
    home: Home, mlflow_server: MlflowServer
) -> None:
    here = Home(Settings(home=home.settings.home, tracking="mlflow", tracking_uri=mlflow_server.url))
    training = here.begin("theirs", experiment="theirs")
    server = MlflowRuns(mlflow_server.url, home.settings)
    theirs = server.client.create_run(server.experiment("theirs"), tags={**training.all_tags, "zenml": "0.98.0"})
    server.client.log_metric(theirs.info.run_id, "train_loss", 1.0, step=1)
    assert deliver(here.settings, [here.end(training)]).problem is None
    run = run_of(server, training)
    assert run.info.run_id == theirs.info.run_id
    assert steps_of(server, run, "train_loss") == [(1, 1.0), (2, 0.5), (3, 0.25)]
    assert run.data.params == {"epochs": "3"}


def test_a_server_may_take_longer_to_keep_a_file_than_to_answer_anything_else(
    home: Home, mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hands the file on to a bucket, and answers then: a large model took longer, and was never sent."""
    with faulty_proxy(mlflow_server.url) as proxy:
        runs = MlflowRuns(proxy.url, home.settings)
        run = runs.client.create_run(runs.experiment("uploads")).info.run_id
        model = tmp_path / "model.onnx"
        model.write_bytes(b"onnx")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        proxy.slow_to_keep = 2.0
        runs.add_files(run, {"model.onnx": model})
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "1"
        assert [file.path for file in runs.client.list_artifacts(run)] == ["model.onnx"]


def test_an_experiment_that_was_deleted_is_named_with_what_to_do(home: Home) -> None:
    local = home.local
    local.client.delete_experiment(local.experiment("tiny-model"))
    training = home.begin()
    found = deliver(home.settings, [home.end(training)])
    assert "mlflow experiments restore" in (found.problem or "")
    (waiting,) = open_trainings(home.settings)
    assert waiting.problem == found.problem


def test_a_folder_may_be_the_tracker(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    here = Home(Settings(home=home.settings.home, tracking="mlflow", tracking_uri=str(folder)))
    training = here.begin()
    assert deliver(here.settings, [here.end(training)]).problem is None
    run = run_of(MlflowRuns(folder.as_uri(), home.settings), training)
    assert run.data.metrics["iou"] == 0.5


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"key": "x"}'])
def test_a_file_that_is_broken_or_of_another_version_holds_up_no_other(content: bytes, home: Home) -> None:
    good = home.end(home.begin())
    (trainings_folder(home.settings) / "a-broken.json").write_bytes(content)
    assert list(open_trainings(home.settings)) == [good]


def test_a_training_that_is_complete_is_not_noted_again(home: Home) -> None:
    training = home.begin()
    training.amend(home.settings, ending="FAILED")
    (noted,) = open_trainings(home.settings)
    assert noted == replace(training, ending="FAILED")
    training.path(home.settings).unlink()
    training.amend(home.settings, problem="late")
    assert not list(open_trainings(home.settings))

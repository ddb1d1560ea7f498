"""The sender as the system starts it: a process, a real MLflow folder or server, and an exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.net.processes import Process
from fair_dagster.pipelines import metadata
from fair_dagster.settings import Settings
from fair_dagster.tracking.environment import training_environment
from fair_dagster.tracking.mlflow_runs import MlflowTracker
from fair_dagster.tracking.outbox import Amendment, Entry, add_amendment, entries
from fair_dagster.tracking.sender import Sending
from fair_dagster.tracking.tracker import Opened
from tests.storage.s3.faulty import faulty_proxy
from tests.tracking.conftest import UUID, Home, MlflowServer

_CONTRIBUTED = """
import mlflow
with mlflow.start_run():
    mlflow.log_param("optimizer", "AdamW")
    mlflow.log_metric("grad_norm", 2.0, step=1)
    mlflow.log_metric("grad_norm", 1.0, step=2)
    with mlflow.start_run(nested=True):
        mlflow.log_metric("trial", 9.0)
mlflow.log_metric("f1", 0.75)
mlflow.log_text("confusing", "matrix/of.txt")
mlflow.set_tag("author", "somebody")
"""


def until(found: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.1)
    raise AssertionError(f"{what} never came")


def run_of(client: Any, experiment: str = "tiny-model") -> Any:
    (run,) = runs_of(client, experiment)
    return run


def runs_of(client: Any, experiment: str = "tiny-model") -> list[Any]:
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id])) if found else []


def steps_of(client: Any, run: Any, name: str) -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name)]


def end_well(entry: Entry, folder: Path) -> None:
    """What the runner and the op do at the end of a good training."""
    model = folder / "model.onnx"
    model.write_bytes(b"onnx")
    metadata.log_loss_history([1.0, 0.5, 0.25], [1.0, 1.0, 1.0])
    metadata.tell_tracking({"result": {"metrics": {"iou": 0.5}, "run_name": "zen-1"}, "model": str(model)})
    entry.end("FINISHED")


def test_a_training_is_seen_while_it_goes_on_and_whole_when_it_has_ended(
    home: Home, tell: Callable[[Entry], None], mlflow_client: Any, tmp_path: Path
) -> None:
    entry = home.begin()
    tell(entry)
    (sender,) = home.send(entry)
    metadata.report_epoch(1, {"train_loss": 1.0})
    metadata.report_epoch(2, {"train_loss": 0.5})
    until(lambda: (note := home.note(entry)) and note.status == "RUNNING", "the beginning of the run")
    until(lambda: run_of(mlflow_client).data.metrics.get("train_loss") == 0.5, "the second epoch")
    assert run_of(mlflow_client).info.status == "RUNNING"

    environment = os.environ | training_environment(home.settings, entry)
    subprocess.run([sys.executable, "-c", _CONTRIBUTED], env=environment, cwd=tmp_path, check=True)
    end_well(entry, tmp_path)
    assert sender.wait(timeout=60) == 0

    run = run_of(mlflow_client)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "roofs-v1")
    kind = mlflow_client.get_experiment(run.info.experiment_id).tags["mlflow.experimentKind"]
    assert kind == "custom_model_development", "MLflow's pages show losses for this kind only"
    assert steps_of(mlflow_client, run, "train_loss") == [(1, 1.0), (2, 0.5), (3, 0.25)]
    assert run.data.metrics["iou"] == 0.5
    ours = {"fair.base_model": "tiny-model-v2", "fair.zenml_run": "zen-1", "fair.zenml_version_id": UUID}
    assert {**run.data.tags, **ours} == run.data.tags
    assert steps_of(mlflow_client, run, "grad_norm") == [(1, 2.0), (2, 1.0)]
    assert "trial" not in run.data.metrics, "a run inside a run is a try, not the model"
    assert (run.data.metrics["f1"], run.data.tags["author"]) == (0.75, "somebody")
    assert run.data.params == {"epochs": "3", "optimizer": "AdamW"}
    store = Path(run.info.artifact_uri.removeprefix("file://"))
    files = {str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()}
    assert files == {"onnx_model/model.onnx", "matrix/of.txt"}
    note = home.note(entry)
    assert note is not None
    assert (note.status, Path(note.url).name) == ("FINISHED", run.info.run_id)
    assert not list(entries(home.outbox)), "what is sent is not kept twice"
    assert {path.name for path in tmp_path.iterdir()} == {"home", "model.onnx"}, "nothing is written elsewhere"


def test_four_trainings_at_once_are_four_runs_of_one_experiment(home: Home, mlflow_client: Any) -> None:
    """One of them was killed, and one before it was left unsent by a machine that went down."""
    left = home.begin("left")
    left.end("FAILED")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as waiting:
        owner = str(Process.of(waiting.pid))
        begun = [home.begin(f"roofs-{number}", owner=owner if number == 3 else "") for number in range(4)]
        for number, entry in enumerate(begun):
            entry.events_path.write_text(json.dumps({"metrics": {"iou": number}}) + "\n")
            if number != 3:
                entry.end("FINISHED")
        senders = home.send(*begun)
        until(lambda: home.note(begun[3]), "the run of the training that goes on")
        waiting.send_signal(signal.SIGKILL)
        waiting.wait()
    assert [sender.wait(timeout=120) for sender in senders] == [0, 0, 0, 0]
    statuses = {run.data.tags["fair.tracking_key"]: run.info.status for run in runs_of(mlflow_client)}
    assert statuses == {
        "roofs-0": "FINISHED",
        "roofs-1": "FINISHED",
        "roofs-2": "FINISHED",
        "roofs-3": "KILLED",
        "left": "FAILED",
    }
    assert {run.data.metrics.get("iou") for run in runs_of(mlflow_client)} == {0.0, 1.0, 2.0, 3.0, None}


def test_a_run_is_gone_on_with_after_its_sender_was_killed(home: Home, mlflow_client: Any) -> None:
    entry = home.begin()
    entry.events_path.write_text(json.dumps({"metrics": {"loss": 2.0}, "step": 1}) + "\n")
    (sender,) = home.send(entry)
    until(lambda: home.note(entry) and run_of(mlflow_client).data.metrics, "the first epoch")
    sender.kill()
    sender.wait()
    state = entry.sent()
    # As if it had been killed between opening the run and noting its id.
    entry.save_sent({"opening": True, "position": state["position"]})
    with entry.events_path.open("a") as events:
        events.write(json.dumps({"metrics": {"loss": 1.0}, "step": 2}) + "\n")
    entry.end("FINISHED")
    home.sent()
    assert steps_of(mlflow_client, run_of(mlflow_client), "loss") == [(1, 2.0), (2, 1.0)]


def test_a_server_that_is_away_gets_everything_later_and_no_password_is_written(
    home: Home, tell: Callable[[Entry], None], mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    with_password = mlflow_server.url.replace("://", "://somebody:geheim@")
    away = Home(Settings(home=home.settings.home, tracking="mlflow", tracking_uri=with_password))
    entry = away.begin(experiment="away")
    tell(entry)
    metadata.report_epoch(1, {"train_loss": 1.0})
    end_well(entry, tmp_path)
    mlflow_server.stop()
    try:
        (sender,) = away.send()
        printed, _ = sender.communicate(timeout=120)
        assert sender.returncode == 1
        assert "127.0.0.1" in entry.sent()["problem"]
        assert away.note(entry) is None
    finally:
        mlflow_server.start()
    add_amendment(away.outbox, "later", Amendment(UUID, tags={"fair.deleted": "yes"}))
    printed += "".join(away.sent())

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=mlflow_server.url)
    run = run_of(client, "away")
    assert run.info.status == "FINISHED"
    assert steps_of(client, run, "train_loss") == [(1, 1.0), (2, 0.5), (3, 0.25)]
    assert run.data.tags["fair.deleted"] == "yes"
    assert [file.path for file in client.list_artifacts(run.info.run_id, "onnx_model")] == ["onnx_model/model.onnx"]
    note = away.note(entry)
    assert note is not None
    page = f"{mlflow_server.url}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    assert note.url.partition("?")[0] == page
    files = [path for path in home.settings.home.rglob("*") if path.is_file()]
    assert not [path for path in files if b"geheim" in path.read_bytes()]
    assert "geheim" not in printed


def test_runs_that_somebody_else_opened_are_taken_up(home: Home, mlflow_server: MlflowServer) -> None:
    """That of ZenML's own experiment tracker, and one of a machine that is gone, which is closed by its version."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=mlflow_server.url)
    here = Home(Settings(home=home.settings.home, tracking="mlflow", tracking_uri=mlflow_server.url))
    entry = here.begin(adopt="roofs-v1-", experiment="never-made")
    zenmls = client.create_experiment("training_pipeline")
    theirs = client.create_run(zenmls, run_name="roofs-v1-2026-x")
    client.log_metric(theirs.info.run_id, "their_loss", 1.0)
    tags = {"fair.zenml_version_id": "uuid-of-another"}
    lost, ended = (client.create_run(client.create_experiment(name), tags=tags) for name in ("lost", "ended"))
    client.set_terminated(ended.info.run_id, "FINISHED")

    event = {"result": {"metrics": {"iou": 0.5}, "run_name": "roofs-v1-2026-x"}}
    entry.events_path.write_text(json.dumps(event) + "\n")
    entry.end("FINISHED")
    add_amendment(here.outbox, "close", Amendment("uuid-of-another", ending="KILLED"))
    here.sent()

    run = run_of(client, "training_pipeline")
    assert run.info.run_id == theirs.info.run_id
    assert run.data.metrics == {"their_loss": 1.0, "iou": 0.5}
    assert (run.data.tags["fair.model"], run.data.params["epochs"]) == ("roofs", "3")
    assert client.get_experiment_by_name("never-made") is None, "there is no second run"
    assert client.get_run(lost.info.run_id).info.status == "KILLED"
    assert client.get_run(ended.info.run_id).info.status == "FINISHED"
    assert not list(entries(here.outbox))


def test_a_param_that_the_pipeline_logs_with_another_value_stops_nothing(home: Home, mlflow_client: Any) -> None:
    from mlflow import MlflowClient

    entry = home.begin()
    own = MlflowClient(tracking_uri=entry.contributed_path.as_uri())
    run = own.create_run(own.create_experiment("autolog"))
    own.log_param(run.info.run_id, "epochs", "3.0")
    own.log_param(run.info.run_id, "optimizer", "AdamW")
    own.log_metric(run.info.run_id, "loss", 0.5, step=1)
    entry.end("FINISHED")
    sent = entry.run()
    assert sent is not None
    assert Sending(entry, sent, MlflowTracker(home.settings)).step()
    found = run_of(mlflow_client)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"epochs": "3", "optimizer": "AdamW"}
    assert found.data.tags["fair.param.epochs"] == "3.0"
    assert steps_of(mlflow_client, found, "loss") == [(1, 0.5)]


@pytest.mark.parametrize("content", [b"", b"{", b"[]"])
def test_an_entry_that_was_never_completed_holds_up_no_other(content: bytes, home: Home) -> None:
    """A full disk may leave a folder without a whole file."""
    broken = home.outbox / "a-broken"
    broken.mkdir(parents=True)
    (broken / "run.json").write_bytes(content)
    assert Entry(broken).run() is None
    assert Entry(broken).ending() is None


def test_a_server_may_take_longer_to_keep_a_file_than_to_answer_anything_else(
    mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hands the file on to a bucket, and answers then: a large model took longer, and was never sent."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    with faulty_proxy(mlflow_server.url) as proxy:
        settings = Settings(home=tmp_path, tracking="mlflow", tracking_uri=proxy.url)
        tracker = MlflowTracker(settings)
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=proxy.url)
        run = client.create_run(client.create_experiment("uploads")).info.run_id
        model = tmp_path / "model.onnx"
        model.write_bytes(b"onnx")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        proxy.slow_to_keep = 2.0
        tracker.add_files(Opened(run, ""), {"model.onnx": model})
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "1"
        assert [file.path for file in client.list_artifacts(run)] == ["model.onnx"]

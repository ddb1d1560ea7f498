"""Finetunes in the experiment tracker, with the settings as they come: a folder, and no server."""

import os
import signal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fair_dagster.domain.errors import PipelineError
from fair_dagster.fair import Fair
from fair_dagster.flows.tracking import note_path
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.instance import open_instance
from fair_dagster.orchestration.runs.started import Started
from fair_dagster.tracking.outbox import Note
from tests.e2e.conftest import ENDLESS, MODEL, QUICK, ask, training, until


@pytest.fixture
def mlflow_client(fair: Fair, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=(fair.settings.tracking_path / "mlflow").as_uri())


def note_of(fair: Fair, started: Started) -> Note | None:
    version = fair.version(started.subject)
    return Note.newest(note_path(fair.services, version.id, version.uuid))


def ended_as(fair: Fair, started: Started, status: str) -> Note | None:
    note = note_of(fair, started)
    return note if note is not None and note.status == status else None


def test_a_finetune_is_a_run_with_its_epochs_model_and_ids(fair: Fair, finetune: Started, mlflow_client: Any) -> None:
    note = until(lambda: ended_as(fair, finetune, "FINISHED"), "the end of the tracked run")
    run = mlflow_client.get_run(note.run_id)
    version = fair.version(finetune.subject)
    assert run.info.status == "FINISHED"
    assert mlflow_client.get_experiment(run.info.experiment_id).name == MODEL
    losses = [(m.step, m.value) for m in mlflow_client.get_metric_history(note.run_id, "train_loss")]
    assert losses == list(enumerate(version.training.loss_history["train_loss"], start=1))
    assert len(losses) == QUICK["epochs"]
    assert run.data.metrics["building_iou"] == version.training.metrics["building_iou"]
    assert run.data.params["epochs"] == str(QUICK["epochs"])
    assert run.data.tags["fair.version"] == version.id
    assert run.data.tags["fair.base_model"] == f"{MODEL}-v1"
    assert run.data.tags["fair.zenml_version_id"] == version.uuid
    assert run.data.tags["fair.zenml_run_id"] == version.run_ids[0]
    assert run.data.tags["dagster.run_id"] == finetune.run_id
    assert (Path(note.url) / "artifacts" / "onnx_model" / "model.onnx").stat().st_size > 0
    with open_instance(fair.settings) as instance:
        wanted = dg.AssetRecordsFilter(keys.finetuned_model(MODEL), asset_partitions=[version.id])
        (record,) = instance.fetch_materializations(wanted, limit=1).records
    materialization = record.asset_materialization
    assert materialization is not None
    assert materialization.metadata["tracking"].value == note.url


def test_a_killed_training_is_closed_and_a_deleted_version_is_marked(fair: Fair, mlflow_client: Any) -> None:
    started = fair.finetune(ask("tracked-killed", **ENDLESS))
    pid = training(fair, started).pid or 0
    note = until(lambda: note_of(fair, started), "the beginning of the tracked run")
    assert note.status == "RUNNING"
    os.killpg(pid, signal.SIGKILL)
    with pytest.raises(PipelineError, match="was killed"):
        started.wait()
    until(lambda: ended_as(fair, started, "KILLED"), "the end of the tracked run")
    assert mlflow_client.get_run(note.run_id).info.status == "KILLED"
    fair.delete(started.subject)
    until(lambda: "fair.deleted" in mlflow_client.get_run(note.run_id).data.tags, "the mark")

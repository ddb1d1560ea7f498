"""Finetunes in the experiment tracker, with the settings as they come: a folder, and no server."""

import os
import signal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fair_dagster.domain.errors import PipelineError
from fair_dagster.fair import Fair
from fair_dagster.flows.finetunes import tracking
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.instance import open_instance
from fair_dagster.orchestration.runs.started import Started
from fair_dagster.pipelines.tracking.mlflow_runs import local_uri
from fair_dagster.pipelines.tracking.trainings import VERSION_TAG
from tests.e2e.conftest import ENDLESS, MODEL, QUICK, ask, training, until


@pytest.fixture
def mlflow_client(fair: Fair, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    return MlflowClient(local_uri(fair.settings))


def run_of(fair: Fair, started: Started, client: Any) -> Any:
    """The run of a version; None while there is none."""
    version = fair.version(started.subject)
    experiments = [one.experiment_id for one in client.search_experiments()]
    found = client.search_runs(experiments, f"tags.`{VERSION_TAG}` = '{version.uuid}'")
    return found[0] if found else None


def test_a_finetune_is_a_run_with_its_epochs_model_and_ids(fair: Fair, finetune: Started, mlflow_client: Any) -> None:
    run = run_of(fair, finetune, mlflow_client)
    version = fair.version(finetune.subject)
    assert (run.info.status, run.info.run_name) == ("FINISHED", version.id)
    assert mlflow_client.get_experiment(run.info.experiment_id).name == MODEL
    losses = [(m.step, m.value) for m in mlflow_client.get_metric_history(run.info.run_id, "train_loss")]
    assert losses == list(enumerate(version.training.loss_history["train_loss"], start=1))
    assert len(losses) == QUICK["epochs"]
    assert run.data.metrics["building_iou"] == version.training.metrics["building_iou"]
    assert run.data.params["epochs"] == str(QUICK["epochs"])
    assert run.data.tags["fair.version"] == version.id
    assert run.data.tags["fair.base_model"] == f"{MODEL}-v1"
    assert run.data.tags["fair.zenml_run_id"] == version.run_ids[0]
    assert run.data.tags["dagster.run_id"] == finetune.run_id
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    assert (artifacts / "onnx_model" / "model.onnx").stat().st_size > 0
    with open_instance(fair.settings) as instance:
        wanted = dg.AssetRecordsFilter(keys.finetuned_model(MODEL), asset_partitions=[version.id])
        (record,) = instance.fetch_materializations(wanted, limit=1).records
    materialization = record.asset_materialization
    assert materialization is not None
    assert materialization.metadata["tracking"].value == local_uri(fair.settings)
    assert materialization.metadata["tracking_run_id"].value == run.info.run_id


def test_a_killed_training_is_closed_and_a_deleted_version_is_marked(fair: Fair, mlflow_client: Any) -> None:
    started = fair.finetune(ask("tracked-killed", **ENDLESS))
    pid = training(fair, started).pid or 0
    run = until(lambda: run_of(fair, started, mlflow_client), "the beginning of the tracked run")
    assert run.info.status == "RUNNING"
    until(lambda: mlflow_client.get_run(run.info.run_id).data.metrics.get("train_loss"), "an epoch, while it goes on")
    os.killpg(pid, signal.SIGKILL)
    with pytest.raises(PipelineError, match="was killed"):
        started.wait()
    version = fair.version(started.subject)
    (waiting,) = [one for one in tracking.waiting(fair.services) if one.key.startswith(version.id)]
    assert waiting.state == "waiting"
    assert not tracking.send_waiting(fair.services)
    assert mlflow_client.get_run(run.info.run_id).info.status == "KILLED"
    fair.delete(started.subject)
    tracking.send_waiting(fair.services)
    assert "fair.deleted" in mlflow_client.get_run(run.info.run_id).data.tags

"""Folders written against the package ``fair`` run here without it."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.domain.errors import StorageError
from fair_dagster.pipelines.compat.data import count_chips, list_files, resolve_directory, resolve_path
from fair_dagster.pipelines.contract import check_folder
from fair_dagster.pipelines.metadata import TRACKING_VARIABLE
from fair_dagster.pipelines.tracking.mlflow_runs import local_uri, training_environment
from fair_dagster.pipelines.tracking.trainings import TrackedTraining, open_trainings
from fair_dagster.pipelines.zenml.model_versions import ModelVersions
from fair_dagster.pipelines.zenml.runs import Runs
from tests.pipelines.conftest import DATA, Runner

CONTRIBUTED = "models.contributed_model.pipeline"


def problems_of(folder: Path) -> list[str]:
    return [str(problem) for problem in check_folder(folder).problems]


def test_a_contributed_folder_trains_exports_and_predicts(
    runner: Runner, versions: ModelVersions, runs: Runs, training_config: Callable[..., dict[str, Any]], chips: Path
) -> None:
    version = versions.create("contributed")
    config = training_config("contributed", version.number)
    config["steps"]["train_model"]["parameters"] |= {"base_model_id": "base", "dataset_id": "data"}
    ended = runner.run("train", config, "contributed", entrypoint=f"{CONTRIBUTED}:training_pipeline")
    assert ended.code == 0, ended.output
    assert ended.result is not None
    assert ended.result["metrics"] == {"accuracy": 0.25}
    assert ended.result["split"] == {"strategy": "random", "train_count": 4}
    assert ended.result["loss_history"] == {"train_loss": [1.0, 0.25], "val_loss": [1.0, 1.0]}
    assert ended.result["wall_seconds"] > 0
    assert versions.get("contributed", version.number).model_uri is not None

    output = runner.folder / "contributed.geojson"
    prediction = {
        "entrypoint": f"{CONTRIBUTED}:predict",
        "model_uri": ended.result["artifacts"]["onnx_model"],
        "input_images": str(chips),
        "output": str(output),
    }
    drawn = runner.run("predict", prediction, "contributed-drawn")
    assert drawn.code == 0, drawn.output
    features = json.loads(output.read_text())["features"]
    assert [feature["properties"]["mean"] for feature in features] == [2.5, 15.0, 30.0, 60.0]


def test_what_a_contributed_folder_logs_by_mlflow_is_in_the_tracked_run(
    runner: Runner, versions: ModelVersions, training_config: Callable[..., dict[str, Any]]
) -> None:
    """Autologging, a run of its own, one inside it, and what it logs after it has ended ZenML's run."""
    version, settings = versions.create("contributed-mlflow"), runner.settings
    config = training_config("contributed-mlflow", version.number, mlflow=True)
    # A server's component that the settings name, on a stack of this machine: tracked locally all the same.
    config["steps"]["train_model"]["experiment_tracker"] = "fair-mlflow"
    training = TrackedTraining(
        key="contributed-key",
        experiment="contributed-model",
        name=version.id,
        version_uuid=version.uuid,
        params={"epochs": "4"},
        tags={"fair.model": "contributed-mlflow"},
        begun=datetime.now(UTC).isoformat(),
        result=str(runner.folder / "contributed-mlflow.json"),
        elsewhere=False,
    )
    environment = training_environment(settings, training) | {TRACKING_VARIABLE: str(training.write(settings))}
    entrypoint = f"{CONTRIBUTED}:training_pipeline"
    ended = runner.run("train", config, "contributed-mlflow", entrypoint=entrypoint, **environment)
    assert ended.code == 0, ended.output
    assert ended.result is not None
    assert ended.result["tracking"]["problem"] is None, ended.output

    from mlflow import MlflowClient

    client = MlflowClient(local_uri(settings))
    run = client.get_run(ended.result["tracking"]["run_id"])
    assert (run.info.status, run.info.run_name) == ("FINISHED", version.id)
    assert {"zenml", "fair.zenml_run_id"} <= run.data.tags.keys(), "ZenML's component has begun it"
    steps = [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, "grad_norm")]
    assert steps == [(1, 2.0), (2, 1.0)]
    assert "trial" not in run.data.metrics
    assert (run.data.params["optimizer"], run.data.params["C"]) == ("AdamW", "0.5")
    assert run.data.metrics["accuracy"] == 0.25
    path = Path(run.info.artifact_uri.removeprefix("file://"))
    assert path.is_relative_to(settings.tracking_path)
    assert (path / "onnx_model" / "model.onnx").is_file()
    written = {path.name for path in runner.folder.iterdir()}
    assert not written & {"mlruns", "mlflow.db", "mlartifacts"}, "nothing is written outside of the home"
    assert not list(open_trainings(settings))


def test_a_contributed_pipeline_passes_the_static_check() -> None:
    assert problems_of(DATA / "contributed_model") == ["stac-item.json is missing", "README.md is missing"]


def _in_a_process(script: str, path: Path | None = None) -> str:
    preamble = f"import sys; sys.path.insert(0, {str(path)!r})\n" if path else ""
    install = "from fair_dagster.pipelines.compat import install_fair_package\nprint(install_fair_package())\n"
    ended = subprocess.run(
        [sys.executable, "-c", f"{preamble}{install}{script}"], capture_output=True, text=True, check=True
    )
    return ended.stdout


def test_an_installed_fair_wins(tmp_path: Path) -> None:
    (tmp_path / "fair").mkdir()
    (tmp_path / "fair" / "__init__.py").write_text("WHOSE = 'theirs'\n")
    assert _in_a_process("import fair; print(fair.WHOSE)", tmp_path).split() == ["False", "theirs"]


def test_only_the_provided_names_exist_and_zenml_is_not_loaded_for_data() -> None:
    script = (
        "import sys, fair.utils.data\n"
        "print('zenml' in sys.modules)\n"
        "try:\n    import fair.client\nexcept ModuleNotFoundError as error:\n    print(error.name)\n"
    )
    assert _in_a_process(script).split() == ["True", "False", "fair.client"]


def test_local_data_is_used_where_it_lies(chips: Path) -> None:
    assert resolve_directory(str(chips), "OAM-*") == chips
    assert resolve_path(f"file://{chips}/OAM-0-0-18.png") == chips / "OAM-0-0-18.png"
    assert count_chips(str(chips)) == 4
    assert list_files(str(chips), "OAM-1-*") == [str(chips / "OAM-1-0-18.png")]


@pytest.mark.parametrize(
    "href", ["http://10.0.0.1/secret", "https://example.org/x.tif", "s3://bucket/../../etc/passwd"]
)
def test_a_pipeline_cannot_fetch_from_the_web_or_leave_its_bucket(href: str) -> None:
    with pytest.raises(StorageError):
        resolve_path(href)

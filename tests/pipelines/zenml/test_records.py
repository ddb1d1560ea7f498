"""Pure rules: metadata read back, log lines chosen, exceptions described, files written."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fair_dagster.domain.errors import RefusedError, StorageError
from fair_dagster.domain.versions import VersionRecord, read_training, stage_of
from fair_dagster.net.files import write_json
from fair_dagster.pipelines.entrypoints import load_entrypoint
from fair_dagster.pipelines.metadata import PROGRESS_VARIABLE, log_metrics, report_progress
from fair_dagster.pipelines.prediction import collection_problems
from fair_dagster.pipelines.zenml.run_records import LogLine, describe_error, select_lines

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_metadata_of_contributors_reads_as_training() -> None:
    training = read_training(
        {
            "fair/accuracy": 0.9,
            "fair/per_class_iou": {"building": 0.5, "road": 1},
            "fair/training_wall_seconds": 12,
            "fair/split": {"strategy": "spatial", "seed": 42},
            "fair/loss_history": {"train_loss": [1, 0.5], "val_loss": [1.1, 0.7]},
            "fair/request": {"epochs": 3},
            "fair/note": "by hand",
            "fair/flag": True,
            "fair/diverged": math.nan,
            "loss": 0.5,
        }
    )
    assert training.metrics == {"accuracy": 0.9, "per_class_iou/building": 0.5, "per_class_iou/road": 1.0}
    assert training.wall_seconds == 12.0
    assert training.split == {"strategy": "spatial", "seed": 42}
    assert training.loss_history == {"train_loss": (1.0, 0.5), "val_loss": (1.1, 0.7)}


def test_odd_metadata_is_left_out_and_never_an_error() -> None:
    training = read_training(
        {"fair/split": "random", "fair/loss_history": [1], "fair/training_wall_seconds": "long", "fair/empty": {}}
    )
    assert training == read_training({})


def test_a_diverged_loss_keeps_its_epoch() -> None:
    losses = read_training({"fair/loss_history": {"train_loss": [1.0, None, 0.5]}}).loss_history["train_loss"]
    assert (losses[0], losses[2]) == (1.0, 0.5)
    assert math.isnan(losses[1])


@pytest.mark.parametrize(("text", "stage"), [(None, "none"), ("none", "none"), ("production", "production")])
def test_never_staged_and_demoted_are_both_none(text: str | None, stage: str) -> None:
    assert stage_of(text) == stage


def test_a_version_finds_its_artifacts_under_both_names() -> None:
    version = VersionRecord("a", 3, "u", "none", NOON, NOON, artifacts={"trained_model_artifact": "s3://b/c"})
    assert (version.id, version.model_uri, version.onnx_uri) == ("a-v3", "s3://b/c", None)


def test_the_newest_lines_since_a_moment_are_chosen_in_order() -> None:
    lines = [LogLine("b", "INFO", NOON + timedelta(seconds=second), str(second)) for second in (3, 1, 2)]
    assert [line.message for line in select_lines(lines, tail=None, since=None)] == ["1", "2", "3"]
    assert [line.message for line in select_lines(lines, tail=1, since=None)] == ["3"]
    assert [line.message for line in select_lines(lines, tail=5, since=NOON + timedelta(seconds=2))] == ["2", "3"]
    assert select_lines(lines, tail=0, since=None) == []


def test_an_exception_is_described_by_its_type_message_and_place() -> None:
    try:
        raise KeyError("no such chip")
    except KeyError as error:
        text = describe_error(error)
    assert text.splitlines()[0] == "KeyError: 'no such chip'"
    assert 'raise KeyError("no such chip")' in text
    assert text.count("KeyError: ") == 1


def test_reporting_outside_a_run_is_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROGRESS_VARIABLE, raising=False)
    report_progress(1, 2)
    monkeypatch.setenv(PROGRESS_VARIABLE, str(tmp_path / "absent" / "progress"))
    report_progress(1, 2)
    log_metrics({"iou": 0.5})


@pytest.mark.parametrize(
    "result", [None, [], {"type": "Feature"}, {"type": "FeatureCollection", "features": [{"type": "Polygon"}]}]
)
def test_what_is_no_feature_collection_is_said(result: object) -> None:
    assert collection_problems(result)


@pytest.mark.parametrize("entrypoint", ["os:system", "models_evil.x:f", "models:f", "models.x", "models..x:f", "x y:f"])
def test_code_outside_the_roots_is_refused_unimported(entrypoint: str) -> None:
    with pytest.raises(RefusedError):
        load_entrypoint(entrypoint, ("models",))


def test_a_result_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": math.nan})
    assert path.read_text() == '{\n  "a": 1\n}\n'
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        write_json(blocked / "result.json", {})
    assert sorted(child.name for child in tmp_path.iterdir()) == ["file", "result.json"]

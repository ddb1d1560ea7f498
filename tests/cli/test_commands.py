"""Each command: what it asks of ``Fair``, and what it prints of the answer."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fair_dagster.domain.versions import TrainingRecord
from fair_dagster.flows.base_models.registration import Validation
from fair_dagster.flows.catalog import CheckedItem
from fair_dagster.flows.finetunes.training import Ask
from fair_dagster.pipelines.zenml.run_records import LogLine
from tests.cli.conftest import Call
from tests.cli.fakes import FakeFair, ended_run
from tests.factories import EPOCH, version

FINETUNE = ("finetune", "--base-model", "ramp", "--dataset", "banepa", "--name", "ramp-nepal")


def test_finetune_asks_with_typed_hyperparameters(call: Call, fair: FakeFair) -> None:
    call(*FINETUNE, "--set", "epochs=3", "--set", "learning_rate=1e-2", "--set", "optimizer=adam", "--user", "ann")
    values = {"epochs": 3, "learning_rate": 0.01, "optimizer": "adam"}
    assert fair.asked == [("finetune", Ask("ramp", "banepa", "ramp-nepal", values, user="ann"))]


def test_finetune_waits_and_names_metrics_and_the_next_command(call: Call) -> None:
    result = call(*FINETUNE)
    assert result.exit_code == 0
    assert "building_iou" in result.stdout
    assert "fair-dagster version promote ramp-nepal-v1" in result.stdout
    assert result.stderr.count("epoch 1/2") == 1
    assert "epoch 2/2" in result.stderr


def test_finetune_with_json_prints_one_document_and_nothing_else(call: Call) -> None:
    document = json.loads(call(*FINETUNE, "--json").stdout)
    assert document["id"] == "ramp-nepal-v1"
    assert document["run"] == "run-1"
    assert document["metrics"] == {"building_iou": 0.5}


def test_a_detached_finetune_returns_the_run_at_once(call: Call) -> None:
    result = call(*FINETUNE, "--detach", "--json")
    assert json.loads(result.stdout) == {"run": "run-1", "subject": "ramp-nepal-v1"}
    assert "epoch" not in result.stderr


def test_what_libraries_print_does_not_reach_stdout(
    call: Call, fair: FakeFair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(fair), "models", lambda _: sys.stdout.write("chatter") and ())
    result = call("version", "list", "--json")
    assert json.loads(result.stdout) == []
    assert "chatter" in result.stderr


@pytest.mark.parametrize(("again", "equal"), [(0.5, True), (0.5000001, False)])
def test_rerun_says_whether_the_metrics_are_equal(call: Call, fair: FakeFair, again: float, equal: bool) -> None:
    fair.records = [version(1), version(2, **{"fair/building_iou": again})]
    result = call("rerun", "ramp-nepal-v1", columns=100)
    assert ("the metrics are equal" in result.stdout) is equal
    assert ("the metrics are NOT equal" in result.stdout) is not equal
    document = json.loads(call("rerun", "ramp-nepal-v1", "--json").stdout)
    assert document["equal"] is equal
    assert document["metrics"] == {"building_iou": {"original": 0.5, "rerun": again}}


def test_predict_without_a_run_waits_for_the_file(call: Call, fair: FakeFair, tmp_path: Path) -> None:
    result = call("predict", "ramp-nepal", "--images", "chips", "--output", str(tmp_path / "o.geojson"), "--no-run")
    assert fair.asked[-1] == ("without a run",)
    assert result.stdout == f"2 features in {tmp_path / 'o.geojson'}\n"


def test_a_prediction_that_is_no_run_cannot_be_left_to_itself(call: Call, fair: FakeFair) -> None:
    result = call("predict", "ramp-nepal", "--images", "chips", "--no-run", "--detach")
    assert (result.exit_code, fair.asked) == (2, [])


def test_without_definitions_a_prediction_is_no_run(call: Call, fair: FakeFair) -> None:
    fair.has_definitions = False
    assert call("predict", "ramp-nepal", "--images", "chips", "--json").exit_code == 0
    assert fair.asked[-1] == ("without a run",)


def test_predict_passes_parameters_and_counts_features(call: Call, fair: FakeFair, tmp_path: Path) -> None:
    output = tmp_path / "roofs.geojson"
    arguments = ("--images", "chips", "--set", "confidence_threshold=0.6", "--output", str(output))
    result = call("predict", "ramp-nepal", *arguments)
    assert fair.asked == [("predict", "ramp-nepal", Path("chips"), {"confidence_threshold": 0.6}, output)]
    assert result.stdout == f"2 features in {output}\n"


def test_base_model_validate_lists_everything_and_exits_with_1(call: Call, fair: FakeFair) -> None:
    fair.validations["bad"] = Validation("models/bad", ("one", "two"), ("careful",), ("mlm not checked",))
    result = call("base-model", "validate", "good", "bad", "--strict")
    assert result.exit_code == 1
    assert "good: valid" in result.stdout
    for text in ("problem: one", "problem: two", "warning: careful", "mlm not checked"):
        assert text in result.stdout
    assert fair.asked == [("validate", "good", True), ("validate", "bad", True)]


def test_base_model_validate_as_json(call: Call, fair: FakeFair) -> None:
    fair.validations["bad"] = Validation("models/bad", ("one",), (), ())
    result = call("base-model", "validate", "good", "bad", "--json")
    assert result.exit_code == 1
    assert [found["ok"] for found in json.loads(result.stdout)] == [True, False]


def test_base_model_register_keeps_on_after_a_refusal_and_tells_all(call: Call, fair: FakeFair) -> None:
    fair.invalid = frozenset({"b", "d"})
    result = call("base-model", "register", "a", "b", "c", "d")
    assert result.exit_code == 1
    assert [name for _, name in fair.asked] == ["a", "b", "c", "d"]
    assert "registered a" in result.stdout
    assert "b: is broken" in result.stderr
    assert "d: is broken" in result.stderr


def test_base_model_register_all_takes_every_folder(call: Call, fair: FakeFair) -> None:
    for name in ("one", "two"):
        (fair.home / "models" / name).mkdir(parents=True)
        (fair.home / "models" / name / "pipeline.py").touch()
    call("base-model", "register", "--all")
    assert [Path(name).name for _, name in fair.asked] == ["one", "two"]


def test_base_model_register_all_without_a_folder_is_refused(call: Call) -> None:
    result = call("base-model", "register", "--all")
    assert result.exit_code == 1
    assert "no base model folder" in result.stderr


def test_where_a_branch_is_followed_it_is_fetched_first(call: Call, fair: FakeFair) -> None:
    assert call("init").stdout.endswith("next: fair-dagster base-model register --all\n")
    fair.models_repo = "https://example.org/models.git"
    assert call("init").stdout.endswith("next: fair-dagster base-model sync\n")
    assert "`fair-dagster base-model sync` fetches the branch" in call("base-model", "register", "--all").stderr


def test_base_model_show_lists_what_can_be_set(call: Call) -> None:
    text = call("base-model", "show", "ramp").stdout
    assert "training.epochs" in text
    assert "1 … 50" in text
    assert "sgd | adam" in text


def test_lists_show_active_items_and_all_on_demand(call: Call) -> None:
    assert "ramp-v1" not in call("base-model", "list").stdout
    assert "deprecated" in call("base-model", "list", "--all").stdout
    assert [item["id"] for item in json.loads(call("dataset", "list", "--json").stdout)] == ["banepa"]


def test_dataset_create_writes_beside_the_labels_and_names_the_next_command(
    call: Call, fair: FakeFair, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.geojson"
    result = call("dataset", "create", "town", "--chips", "c", "--labels", str(labels), "--keyword", "road")
    ((_, spec, output),) = fair.asked
    assert output == tmp_path / "stac-item.json"
    assert (spec.slug, spec.keywords, spec.license) == ("town", ("road",), "ODbL-1.0")
    assert f"fair-dagster dataset register {output}" in result.stdout


def test_dataset_create_does_not_replace_an_item_without_force(call: Call, fair: FakeFair, tmp_path: Path) -> None:
    (tmp_path / "stac-item.json").write_text("{}")
    arguments = ("dataset", "create", "town", "--chips", "c", "--labels", str(tmp_path / "labels.geojson"))
    assert call(*arguments).exit_code == 1
    assert fair.asked == []
    assert call(*arguments, "--force").exit_code == 0


def test_dataset_register_takes_a_folder_or_a_file(call: Call, fair: FakeFair, tmp_path: Path) -> None:
    call("dataset", "register", str(tmp_path))
    call("dataset", "register", str(tmp_path / "other.json"))
    assert [path.name for _, path in fair.asked] == ["stac-item.json", "other.json"]


def test_version_list_holds_every_model_or_one(call: Call, fair: FakeFair) -> None:
    fair.records = [version(1), version(1, name="other-model")]
    assert [found["id"] for found in json.loads(call("version", "list", "--json").stdout)] == [
        "other-model-v1",
        "ramp-nepal-v1",
    ]
    text = call("version", "list", "other-model", columns=120).stdout
    assert "other-model-v1" in text
    assert "ramp-nepal-v1" not in text


def test_version_show_has_parents_and_metrics(call: Call, fair: FakeFair) -> None:
    fair.records = [version(1, "production")]
    text = call("version", "show", "ramp-nepal-v1").stdout
    for word in ("production", "ramp v1", "banepa v1", "building_iou"):
        assert word in text


@pytest.mark.parametrize("columns", [30, 200])
def test_version_compare_fits_narrow_and_wide_terminals(call: Call, fair: FakeFair, columns: int) -> None:
    fair.records = [version(1), version(2, **{"fair/recall": 0.75})]
    text = call("version", "compare", "ramp-nepal-v1", "ramp-nepal-v2", columns=columns).stdout
    assert "ramp-nepal-v1" in text
    assert "ramp-nepal-v2" in text
    assert "0.75" in text


def test_version_compare_as_json_has_null_where_a_version_has_no_value(call: Call, fair: FakeFair) -> None:
    fair.records = [version(1), version(2, **{"fair/recall": 0.75})]
    first, second = json.loads(call("version", "compare", "ramp-nepal-v1", "ramp-nepal-v2", "--json").stdout)
    assert first["recall"] is None
    assert second["recall"] == 0.75
    assert first["version"] == "ramp-nepal-v1"


def test_version_promote_names_the_item(call: Call) -> None:
    assert "/catalog/local-models/ramp-nepal-v1.json" in call("version", "promote", "ramp-nepal-v1").stdout


def test_version_delete_without_a_terminal_needs_yes(call: Call, fair: FakeFair) -> None:
    fair.records = [version(1)]
    assert call("version", "delete", "ramp-nepal-v1").exit_code == 2
    assert fair.asked == []
    assert json.loads(call("version", "delete", "ramp-nepal-v1", "--yes", "--json").stdout) == {
        "deleted": "ramp-nepal-v1"
    }
    assert fair.asked == [("delete", "ramp-nepal-v1")]


@pytest.mark.parametrize(("answer", "asked"), [("n\n", 0), ("y\n", 1)])
def test_version_delete_on_a_terminal_asks(call: Call, fair: FakeFair, answer: str, asked: int) -> None:
    fair.records = [version(1)]
    call("version", "delete", "ramp-nepal-v1", stdin=answer, interactive=True)
    assert len(fair.asked) == asked


def test_run_list_fits_80_columns_with_what_an_operator_asks_for(call: Call, fair: FakeFair) -> None:
    now = datetime.now(UTC)
    going = ended_run(id="f" * 36, status="STARTED", started=now, ended=None, progress=(3, 10, "epoch"))
    fair.run_records = [going, ended_run()]
    text = call("run", "list").stdout
    assert max(map(len, text.splitlines())) <= 80
    for word in ("started", "3/10", "ramp-nepal-v1", "finetune", "2026-01-01", "1 min 15 s"):
        assert word in text
    assert json.loads(call("run", "list", "--json").stdout)[0]["progress"] == {"done": 3, "total": 10, "what": "epoch"}


def test_run_logs_passes_its_limits_and_prints_time_level_and_step(call: Call, fair: FakeFair) -> None:
    fair.lines = [LogLine("train_model", "INFO", EPOCH, "epoch 1"), LogLine(None, "ERROR", None, "lost")]
    result = call("run", "logs", "abc", "--step", "train_model", "--tail", "5", "--since", "10m")
    assert result.stdout.splitlines()[0] == "2026-01-01 00:00:00 INFO     [train_model] epoch 1"
    ((_, run_id, step, tail, since),) = fair.asked
    assert (run_id, step, tail) == ("abc", "train_model", 5)
    assert abs(datetime.now(UTC) - timedelta(minutes=10) - since) < timedelta(minutes=1)


def test_run_stop_tells_the_status(call: Call, fair: FakeFair) -> None:
    fair.run_records = [ended_run(status="CANCELED")]
    assert call("run", "stop", "0123").stdout == "run 0123456789abcdef: canceled\n"


def test_item_patch_takes_properties_a_file_or_stdin(call: Call, fair: FakeFair, tmp_path: Path) -> None:
    patch = {"properties": {"title": "Roofs"}}
    path = tmp_path / "patch.json"
    path.write_text(json.dumps(patch))
    call("item", "patch", "x", "--set", "fair:pinned=true", "--set", "note=null")
    call("item", "patch", "x", "--file", str(path))
    call("item", "patch", "x", "--file", "-", stdin=json.dumps(patch))
    assert [change for _, _, change in fair.asked] == [
        {"properties": {"fair:pinned": True, "note": None}},
        patch,
        patch,
    ]


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_item_patch_refuses_what_is_no_json_object(call: Call, fair: FakeFair, text: str) -> None:
    result = call("item", "patch", "x", "--file", "-", stdin=text)
    assert result.exit_code == 1
    assert "JSON" in result.stderr
    assert fair.asked == []


def test_item_show_as_json_is_the_item(call: Call) -> None:
    assert json.loads(call("item", "show", "ramp", "--json").stdout)["type"] == "Feature"


def test_catalog_show_counts_active_items(call: Call) -> None:
    text = call("catalog", "show").stdout
    row = next(line for line in text.splitlines() if line.startswith("base-models"))
    assert row.split() == ["base-models", "1", "2", "ramp"]


def test_catalog_validate_exits_with_1_for_a_problem_and_0_without(call: Call, fair: FakeFair) -> None:
    fair.findings = {
        "datasets": [CheckedItem("a", (), ("mlm is not checked",)), CheckedItem("b", (), ("mlm is not checked",))]
    }
    result = call("catalog", "validate")
    assert result.exit_code == 0
    assert result.stdout.count("mlm is not checked") == 1
    fair.findings["datasets"].append(CheckedItem("c", ("link is broken",), ()))
    result = call("catalog", "validate")
    assert result.exit_code == 1
    assert "problem: link is broken" in result.stdout
    assert json.loads(call("catalog", "validate", "--json").stdout)["datasets"][2]["item"] == "c"


def test_a_version_without_metrics_can_be_shown(call: Call, fair: FakeFair) -> None:
    fair.records = [version(1, **{"fair/building_iou": None})]
    assert fair.records[0].training == TrainingRecord()
    assert call("version", "show", "ramp-nepal-v1").exit_code == 0
    assert "NOT equal" in call("rerun", "ramp-nepal-v1").stdout


def test_base_model_sync_tells_what_changed_and_refuses_at_the_end(call: Call, fair: FakeFair) -> None:
    result = call("base-model", "sync", columns=120)
    assert result.exit_code == 0
    assert "version 2 is active" in result.stdout
    assert json.loads(call("base-model", "sync", "--json").stdout)[0]["folder"] == "ramp"
    fair.invalid = frozenset({"ramp"})
    result = call("base-model", "sync", columns=120)
    assert result.exit_code == 1
    assert "refused" in result.stdout
    assert "models/ramp: is broken" in result.stderr

"""The main job: finetune, promote, predict, run again, archive, delete."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
import yaml

from fair_dagster.domain import items
from fair_dagster.domain.errors import NotFoundError
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.requests import RUN_KEY
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.fair import Fair
from fair_dagster.imagery.synthesize import SyntheticDataset
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.instance import open_instance
from fair_dagster.orchestration.runs.started import Started
from tests.e2e.conftest import MODEL, NAME, QUICK, TOWN, state_of, until


def test_a_finetune_fills_a_version_and_publishes_nothing(fair: Fair, finetune: Started, first: VersionRecord) -> None:
    run = fair.run(finetune.run_id)
    assert (run.status, run.partition, run.model) == ("SUCCESS", first.id, NAME)
    assert first.training.metrics["building_iou"] > 0.3
    assert len(first.training.loss_history["train_loss"]) == QUICK["epochs"]
    assert (first.training.wall_seconds or 0) > 0
    (zenml_run,) = fair.services.zenml_runs.list(version_uuid=first.uuid)
    assert zenml_run.status == "completed"
    # Its provenance tells which run of Dagster trained it.
    assert first.metadata[RUN_KEY] == finetune.run_id


def test_the_run_is_told_by_step_by_tail_and_since(fair: Fair, finetune: Started) -> None:
    lines = fair.logs(finetune.run_id)
    assert any("train_model" in line.message for line in lines)
    assert {"train_model", "export_onnx"} <= {line.step for line in lines}
    assert {line.step for line in fair.logs(finetune.run_id, step="train_model")} == {"train_model"}
    assert fair.logs(finetune.run_id, tail=2) == lines[-2:]
    assert fair.logs(finetune.run_id, since=datetime.now(UTC)) == []
    with pytest.raises(NotFoundError, match="train_model"):
        fair.logs(finetune.run_id, step="no-such-step")
    with pytest.raises(NotFoundError):
        fair.logs("no-such-run")


def test_an_operator_sees_metrics_pictures_and_the_configuration(
    fair: Fair, finetune: Started, first: VersionRecord
) -> None:
    with open_instance(fair.settings) as instance:
        found = {}
        for key in (keys.training_config(MODEL), keys.finetuned_model(MODEL)):
            records = instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=key, asset_partitions=[first.id]), limit=1
            ).records
            assert records[0].asset_materialization is not None
            found[key] = records[0].asset_materialization.metadata
    trained = found[keys.finetuned_model(MODEL)]
    assert trained["metric/building_iou"].value == pytest.approx(first.training.metrics["building_iou"])
    assert str(trained["loss"].value).startswith("![loss by epoch](data:image/png")
    assert str(trained["prediction"].value).startswith("![prediction over imagery](data:image/png")
    assert "epochs: 2" in str(found[keys.training_config(MODEL)]["configuration"].value)


def test_a_promoted_version_is_a_valid_item_with_all_its_files(
    fair: Fair, promoted: Item, first: VersionRecord
) -> None:
    assert promoted["properties"]["fair:zenml_version_id"] == first.uuid
    assert promoted["properties"]["fair:metrics"] == dict(first.training.metrics)
    assert {"model", "checkpoint", "training-config", "thumbnail", "loss-history"} <= set(promoted["assets"])
    assert all(Path(promoted["assets"][key]["href"]).is_file() for key in ("model", "checkpoint", "thumbnail"))
    config = yaml.safe_load(Path(promoted["assets"]["training-config"]["href"]).read_text())
    assert config["parameters"]["hyperparameters"]["epochs"] == QUICK["epochs"]
    findings = [finding for found in fair.validate_catalog().values() for finding in found]
    assert [finding for finding in findings if finding.problems] == []


def test_promoting_again_changes_nothing(fair: Fair, promoted: Item) -> None:
    before = state_of(fair)
    assert fair.promote(promoted["id"]) == promoted
    assert state_of(fair) == before


def test_a_detached_prediction_outlives_the_command(
    fair: Fair, promoted: Item, town: SyntheticDataset, tmp_path: Path
) -> None:
    output = tmp_path / "roofs.geojson"
    command = [str(Path(sys.executable).with_name("fair-dagster")), "predict", NAME, "--detach", "--json"]
    command += ["--images", str(town.predict_chips), "--output", str(output)]
    environment = os.environ | fair.settings.environment()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not output.exists()
    run_id = json.loads(done.stdout)["run"]
    run = until(lambda: (found := fair.run(run_id)).finished and found, "the end of the prediction")
    assert (run.status, run.model) == ("SUCCESS", promoted["id"])
    collection = json.loads(output.read_text())
    assert collection["type"] == "FeatureCollection"
    assert collection["features"]
    for feature in collection["features"]:
        assert feature["properties"]["label"] == "building"
        assert 0.5 <= feature["properties"]["confidence"] <= 1


def test_a_rerun_gets_the_same_metrics(fair: Fair, first: VersionRecord, second: VersionRecord) -> None:
    assert second.training.metrics == first.training.metrics
    assert second.training.loss_history == first.training.loss_history
    table = fair.compare([first.id, second.id])
    assert list(table["building_iou"]) == [first.training.metrics["building_iou"]] * 2


def test_promote_roll_back_archive_and_delete_keep_all_stores_in_step(
    fair: Fair, promoted: Item, second: VersionRecord
) -> None:
    former = promoted["id"]

    def active() -> dict[str, bool]:
        return {item["id"]: items.is_active(item) for item in fair.services.catalog.family(items.LOCAL_MODELS, NAME)}

    fair.promote(second.id)
    assert active() == {former: False, second.id: True}
    assert {version.id: version.stage for version in fair.versions(NAME)} == {
        former: "archived",
        second.id: "production",
    }
    fair.promote(former)
    assert active() == {former: True, second.id: False}
    fair.archive(former)
    assert active() == {former: False, second.id: False}
    with pytest.raises(NotFoundError):
        fair.item(NAME)
    fair.delete(second.id)
    assert active() == {former: False}
    assert [version.id for version in fair.versions(NAME)] == [former]
    state = state_of(fair)
    assert second.id not in state.partitions[keys.finetunes_name(MODEL)]
    assert not any(second.uuid[:8] in path for path in state.artifacts)
    item = fair.promote(former)
    parents = [link["href"] for link in item["links"] if link["rel"] == "derived_from"]
    assert parents == [f"catalog://base-models/{MODEL}", f"catalog://datasets/{TOWN}"]
    assert not {"predecessor-version", "successor-version"} & {link["rel"] for link in item["links"]}

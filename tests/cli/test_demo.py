"""The demo's story, told to a fake; and ``ui``, up to the process it becomes."""

import json
import socket
from pathlib import Path
from typing import cast

import pytest

from fair_dagster.cli.start import ui_command, ui_environment
from fair_dagster.cli.terminal.session import Session
from fair_dagster.fair import Fair
from tests.cli.conftest import Call
from tests.cli.fakes import FakeFair


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "My Town_2"
    (folder / "train" / "chips").mkdir(parents=True)
    (folder / "predict" / "chips").mkdir(parents=True)
    (folder / "train" / "labels.geojson").write_text("{}")
    return folder


def test_the_demo_takes_every_step_in_order(call: Call, fair: FakeFair, data: Path) -> None:
    result = call("demo", "--data", str(data), "--epochs", "3")
    assert result.exit_code == 0, result.output
    assert [name for name, *_ in fair.asked] == [
        "init",
        "register_base_model",
        "create_dataset",
        "register_dataset",
        "finetune",
        "promote",
        "predict",
        "refresh_collections",
    ]
    ask = fair.asked[4][1]
    assert (ask.dataset, ask.model_name, ask.overrides) == ("my-town-2", "buildings-my-town-2", {"epochs": 3})
    assert result.stderr.count("done in") == 7


def test_the_demo_ends_with_catalog_item_geojson_metrics_and_the_ui(call: Call, data: Path) -> None:
    text = call("demo", "--data", str(data)).stdout
    for words in (
        "catalog.json",
        "/catalog/local-models/buildings-my-town-2-v1.json",
        "out.geojson",
        "metric building_iou",
        " ui",
    ):
        assert words in text


def test_the_demo_writes_nothing_into_the_data(call: Call, fair: FakeFair, data: Path) -> None:
    call("demo", "--data", str(data))
    output = fair.asked[2][2]
    assert output.is_relative_to(fair.home / "demo-data")


def test_a_second_demo_makes_a_second_version(call: Call, data: Path) -> None:
    call("demo", "--data", str(data))
    assert json.loads(call("demo", "--data", str(data), "--json").stdout)["version"] == "buildings-my-town-2-v2"


def test_a_folder_without_the_layout_is_refused_with_all_that_is_missing(
    call: Call, fair: FakeFair, tmp_path: Path
) -> None:
    result = call("demo", "--data", str(tmp_path))
    assert result.exit_code == 1
    for part in ("train/chips", "train/labels.geojson", "predict/chips"):
        assert part in result.stderr
    assert fair.asked == []


def test_without_data_the_demo_says_that_its_town_is_synthetic(call: Call, fair: FakeFair) -> None:
    result = call("demo")
    assert "synthetic" in result.stderr
    spec = fair.asked[2][1]
    assert spec.synthetic
    assert any(spec.chips.iterdir())


def test_the_ui_serves_this_installation(fair: FakeFair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    environment = ui_environment(Session(lambda: cast(Fair, fair)))
    assert environment["DAGSTER_HOME"] == str(fair.home.resolve() / "dagster")
    assert environment["FAIR_HOME"] == str(fair.home.resolve())
    assert environment["FAIR_DAGSTER_URL"] == "http://127.0.0.1:3000"
    command = ui_command("127.0.0.1", 3001)
    assert command[1:6] == ["-m", "dagster", "dev", "-m", "fair_dagster.definitions"]
    assert command[-1] == "3001"


def test_the_ui_refuses_a_port_that_is_taken(call: Call, fair: FakeFair) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = call("ui", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 1
    assert "--port" in result.stderr
    assert fair.asked == []

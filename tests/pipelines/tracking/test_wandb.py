"""W&B for real, in its offline mode, which needs no account and no network."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.pipelines.tracking.delivery import deliver
from fair_dagster.pipelines.tracking.trainings import open_trainings
from fair_dagster.settings import Settings
from tests.pipelines.tracking.conftest import Home


@pytest.fixture
def wandb_home(home: Home) -> Home:
    return Home(Settings(home=home.settings.home, tracking="wandb", tracking_uri=""))


def records(folder: Path) -> Iterator[Any]:
    """What `wandb sync` would read."""
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal.datastore import DataStore

    (file,) = folder.glob("*.wandb")
    store = DataStore()
    store.open_for_scan(str(file))
    while (data := store.scan_data()) is not None:
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        yield record


def test_a_training_is_written_for_wandb_sync_once(wandb_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    training = wandb_home.begin()
    wandb_home.open_run(training, first=1.0)
    cut_short = wandb_home.settings.tracking_path / "wandb" / f"offline-run-20260101_000000-{training.key}"
    cut_short.mkdir(parents=True)
    found = deliver(wandb_home.settings, [wandb_home.end(training, "FAILED")])
    assert found.problem is None
    (delivered,) = found.delivered
    folder = Path(delivered.url)
    assert list(folder.parent.glob(f"offline-run-*-{training.key}")) == [folder]

    written = list(records(folder))
    rows = [
        {
            "/".join([item.key, *item.nested_key]).lstrip("/"): json.loads(item.value_json)
            for item in record.history.item
        }
        for record in written
        if record.WhichOneof("record_type") == "history"
    ]
    assert [(row["epoch"], row["train_loss"]) for row in rows] == [(1, 1.0), (2, 0.5), (3, 0.25)]
    (run,) = [record.run for record in written if record.WhichOneof("record_type") == "run"]
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert (run.project, run.display_name, run.run_group) == ("tiny-model", "roofs-v1", "roofs")
    assert (config["epochs"], config["fair.base_model"]) == ("3", "tiny-model-v2")
    assert [record.exit.exit_code for record in written if record.WhichOneof("record_type") == "exit"] == [1]
    files = [path for path in wandb_home.settings.home.rglob("*") if path.is_file()]
    assert not [path for path in files if b"0" * 40 in path.read_bytes()], "the key is written nowhere"


def test_without_the_package_one_error_says_what_to_install(wandb_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    ended = wandb_home.end(wandb_home.begin())
    found = deliver(wandb_home.settings, [ended])
    assert "pip install fair-dagster[wandb]" in (found.problem or "")
    assert len(list(open_trainings(wandb_home.settings))) == 1

"""W&B for real, in its offline mode, which needs no account and no network."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.domain.errors import RefusedError
from fair_dagster.settings import Settings
from fair_dagster.tracking.tracker import open_tracker
from tests.tracking.conftest import Home


@pytest.fixture
def wandb_home(tmp_path: Path) -> Home:
    pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    return Home(Settings(home=tmp_path / "home", tracking="wandb", tracking_uri=""))


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


def test_a_training_is_written_for_wandb_sync(wandb_home: Home, tmp_path: Path) -> None:
    entry = wandb_home.begin()
    model = tmp_path / "model.onnx"
    model.write_bytes(b"onnx")
    events = [
        *({"metrics": {"train_loss": 1 / step}, "step": step} for step in (1, 2, 3)),
        {"result": {"metrics": {"iou": 0.5}, "run_name": "zen-1"}, "model": str(model)},
    ]
    entry.events_path.write_text("".join(json.dumps(event) + "\n" for event in events))
    entry.end("FAILED")
    wandb_home.sent(WANDB_API_KEY="0" * 40)
    note = wandb_home.note(entry)
    assert note is not None
    assert (note.tracker, note.status, note.run_id) == ("wandb", "FAILED", entry.folder.name)
    folder = Path(note.url)
    assert folder.is_relative_to(wandb_home.settings.tracking_path)

    found = list(records(folder))
    rows = [
        {
            "/".join([item.key, *item.nested_key]).lstrip("/"): json.loads(item.value_json)
            for item in record.history.item
        }
        for record in found
        if record.WhichOneof("record_type") == "history"
    ]
    assert [(row["epoch"], row["train_loss"]) for row in rows] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    (run,) = [record.run for record in found if record.WhichOneof("record_type") == "run"]
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert (run.project, run.display_name, run.run_group) == ("tiny-model", "roofs-v1", "roofs")
    assert (config["epochs"], config["fair.base_model"]) == ("3", "tiny-model-v2")
    assert [record.exit.exit_code for record in found if record.WhichOneof("record_type") == "exit"] == [1]
    files = [path for path in wandb_home.settings.home.rglob("*") if path.is_file()]
    assert not [path for path in files if b"0" * 40 in path.read_bytes()], "the key is written nowhere"


def test_without_the_package_one_error_says_what_to_install(wandb_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(RefusedError, match=r"pip install fair-dagster\[wandb\]"):
        open_tracker(wandb_home.settings)

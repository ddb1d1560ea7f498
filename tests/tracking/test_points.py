"""What is sent next: pure rules over the lines that a training has written."""

import json
import math
from typing import Any

from fair_dagster.tracking.points import CONTRIBUTED, EVENTS, Point, Position, keep_new, read_events

TIME = "2026-03-01T12:00:00+00:00"
MOMENT = 1772366400000


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps({**event, "time": TIME}).encode() + b"\n" for event in events)


def named(points: tuple[Point, ...]) -> list[tuple[str, float, int]]:
    return [(point.name, point.value, point.step) for point in points]


def test_epochs_are_told_live_and_not_again_with_the_history() -> None:
    epochs = lines(*({"metrics": {"train_loss": 1 / step}, "step": step} for step in (1, 2)))
    first, position = read_events(epochs, Position())
    assert first.points == (Point("train_loss", 1.0, 1, MOMENT), Point("train_loss", 0.5, 2, MOMENT))
    history = lines({"series": {"train_loss": [1.0, 0.5, 0.25], "val_loss": [2.0, 2.0, 2.0]}})
    second, position = read_events(history, position)
    assert named(second.points) == [
        ("train_loss", 0.25, 3),
        ("val_loss", 2.0, 1),
        ("val_loss", 2.0, 2),
        ("val_loss", 2.0, 3),
    ]
    assert position.offset == len(epochs) + len(history)


def test_a_result_brings_only_what_the_steps_could_not_tell() -> None:
    result = {
        "metrics": {"iou": 0.5, "per_class/roof": 0.4},
        "loss_history": {"train_loss": [1.0, None]},
        "wall_seconds": 3.5,
        "run_name": "roofs-v1-x",
        "run_id": "abc",
    }
    told = lines({"metrics": {"iou": 0.5}}, {"result": result, "model": "/m/model.onnx"})
    batch, _ = read_events(told, Position())
    assert named(batch.points)[0] == ("iou", 0.5, 0)
    assert [point.name for point in batch.points].count("iou") == 1
    assert {"per_class/roof", "training_wall_seconds"} <= {point.name for point in batch.points}
    assert math.isnan(batch.points[2].value), "a diverged loss stays in its epoch"
    assert (batch.model, dict(batch.tags)) == (
        "/m/model.onnx",
        {"fair.zenml_run": "roofs-v1-x", "fair.zenml_run_id": "abc"},
    )


def test_a_line_that_is_being_written_waits_and_a_broken_one_is_passed_over() -> None:
    whole = lines({"metrics": {"loss": 1.0}, "step": 1})
    batch, position = read_events(whole + b'{"metrics": {"lo', Position())
    assert named(batch.points) == [("loss", 1.0, 1)]
    assert position.offset == len(whole)
    batch, position = read_events(
        b"\x00\x00 no json\n" + b"[1]\n" + lines({"metrics": {"loss": 0.5}, "step": 2}), position
    )
    assert named(batch.points) == [("loss", 0.5, 2)]


def test_a_metric_keeps_to_the_source_that_brought_it_first() -> None:
    by_mlflow = [Point("train_loss", 0.9, step, MOMENT) for step in (10, 20)]
    kept, position = keep_new(by_mlflow, Position(), CONTRIBUTED)
    assert kept == by_mlflow
    assert keep_new([Point("train_loss", 0.8, 30, MOMENT)], position, EVENTS)[0] == []


def test_nested_metrics_are_flattened_and_what_is_no_number_is_left_out() -> None:
    batch, _ = read_events(lines({"metrics": {"iou": {"roof": 0.5, "x": "n/a"}, "ok": True, "a:b": 1}}), Position())
    assert named(batch.points) == [("iou/roof", 0.5, 0), ("a_b", 1.0, 0)]

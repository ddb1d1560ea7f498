"""Which folders a move of the branch touches, and what is remembered of it."""

from datetime import UTC, datetime, timedelta

import pytest

from fair_dagster.domain.merges import (
    MergesCursor,
    OpenedRun,
    folder_of,
    is_due,
    run_key,
    stands_for,
    touched_folders,
    touches_schemas,
)
from fair_dagster.domain.slugs import is_utf8

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("models/ramp/pipeline.py", "ramp"),
        ("models/ramp/weights/model.onnx", "ramp"),
        ("models/README.md", None),
        ("models/__pycache__/x.pyc", None),
        ("models/.github/x.yml", None),
        ("docs/models/ramp/pipeline.py", None),
        ("schemas/base-model.json", None),
    ],
)
def test_a_path_belongs_to_the_folder_under_models(path: str, folder: str | None) -> None:
    assert folder_of(path) == folder


def test_files_outside_of_base_models_touch_none() -> None:
    assert touched_folders(["README.md", "models/README.md", "models/ramp/a.py", "models/ramp/b.py"]) == {"ramp"}
    assert touches_schemas(["models/schemas/x.json"]) is False
    assert touches_schemas(["schemas/keywords.json"]) is True


def test_a_folder_that_is_gone_leaves_its_slug_to_another_of_the_same() -> None:
    assert stands_for("a_b", frozenset({"a-b", "c"})) == "a-b"
    assert stands_for("a_b", frozenset({"a-b", "a_b"})) == "a_b"
    assert stands_for("a_b", frozenset({"c"})) == "a_b"


def test_a_cursor_survives_its_text() -> None:
    cursor = MergesCursor("a" * 40, ("x", "\udcff"), {"y": OpenedRun("merge:y", 3)}, "b" * 40)
    assert MergesCursor.from_json(cursor.to_json()) == cursor


@pytest.mark.parametrize(
    "text",
    [None, "", "{", "[]", "17", "null", '{"commit": 3}', '{"opened": {"a": {"key": "k"}}}', '{"waiting": [1]}', "a1b2"],
)
def test_a_cursor_that_cannot_be_read_is_an_empty_one(text: str | None) -> None:
    assert MergesCursor.from_json(text) == MergesCursor()


def test_run_keys_tell_causes_apart() -> None:
    keys = {
        run_key("ramp", "a" * 40, "c1", "none"),
        run_key("ramp", "b" * 40, "c1", "none"),
        run_key("ramp", "a" * 40, "c2", "none"),
        run_key("ramp", "a" * 40, "c1", "2026-11-21T12:00:00Z"),
        run_key("ramp", "a" * 40, "c1", "none", attempt=2),
        run_key("yolo", "a" * 40, "c1", "none"),
    }
    assert len(keys) == 6
    assert run_key("ramp", "a" * 40, "c1", "none", attempt=1) in keys


def test_a_lost_run_is_tried_again_after_a_growing_wait_that_ends_at_an_hour() -> None:
    waits = [1, 2, 4, 8, 16, 32, 60, 60]
    for attempt, minutes in enumerate(waits, start=1):
        assert not is_due(attempt, NOW - timedelta(minutes=minutes, seconds=-1), NOW)
        assert is_due(attempt, NOW - timedelta(minutes=minutes), NOW)
    assert is_due(10**6, NOW - timedelta(hours=1), NOW)
    assert is_due(1, None, NOW)


def test_names_that_are_no_utf8_are_told_apart() -> None:
    assert is_utf8("ramp_nepal")
    assert is_utf8("häuser")
    assert not is_utf8("ra\udcffmp")

"""What registries tell of pushes, which tags come round, and what a cursor remembers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fair_dagster.oci.notifications.pushes import Push, PushesCursor, in_turn, places_of, pushes_in

DIGEST = "sha256:" + "a" * 64
TARGET = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "repository": "fair/town", "digest": DIGEST}


def notification(**changes: Any) -> bytes:
    event = {"action": "push", "target": TARGET} | changes
    return json.dumps({"events": [event, event]}).encode()


def test_a_push_of_a_manifest_is_told_once() -> None:
    assert pushes_in(notification()) == [Push("fair/town", DIGEST)]


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "pull"},
        {"action": None},
        {"target": TARGET | {"mediaType": "application/octet-stream"}},
        {"target": TARGET | {"digest": "sha256:../../x"}},
        {"target": TARGET | {"digest": 7}},
        {"target": TARGET | {"repository": "../../../etc"}},
        {"target": TARGET | {"repository": "a//b"}},
        {"target": TARGET | {"repository": "a" * 256}},
        {"target": None},
    ],
)
def test_other_events_and_names_that_cannot_be_are_left_out(changes: dict[str, Any]) -> None:
    assert pushes_in(notification(**changes)) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"events": {}}', b"\xff"])
def test_what_is_no_notification_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        pushes_in(body)


@pytest.mark.parametrize(
    ("repository", "watched", "places"),
    [
        ("fair/town", ["r/fair/town"], ["r/fair/town"]),
        ("fair/town", ["r/fair/*"], ["r/fair/town"]),
        ("fair/a/b", ["r/fair/*", "r/fair/a/b"], ["r/fair/a/b"]),
        ("fair/town", ["r/*", "q/fair/*"], ["r/fair/town", "q/fair/town"]),
        ("fairy/town", ["r/fair/*"], []),
        ("fair", ["r/fair/*"], []),
        ("other", ["r/fair/town"], []),
    ],
)
def test_which_watched_repositories_a_notification_may_mean(
    repository: str, watched: list[str], places: list[str]
) -> None:
    assert places_of(repository, watched) == places


@given(st.sets(st.text("abc", min_size=1, max_size=3), max_size=30), st.integers(1, 7), st.data())
def test_every_tag_comes_round(names: set[str], limit: int, data: st.DataObject) -> None:
    tags = sorted(names)
    seen = {tag: "x" for tag in tags if data.draw(st.booleans())}
    looked: set[str] = set()
    for turn in range(2 * len(tags) + 2):
        chosen = in_turn(tags, seen, limit, turn)
        assert len(chosen) == len(set(chosen)) <= limit
        looked |= set(chosen)
        seen |= dict.fromkeys(chosen, "x")
    assert looked == set(tags)


def test_new_tags_come_first() -> None:
    assert in_turn(["a", "b", "c"], {"a": "x", "b": "x"}, 2, 0) == ["c", "a"]


def test_a_cursor_survives_and_a_damaged_one_is_an_empty_one() -> None:
    cursor = PushesCursor(12.5, {"r/fair": {"v1": "abc"}}, ("one.json",))
    assert PushesCursor.parse(cursor.dump()) == cursor
    for text in (None, "", "{", "[]", '{"seen": []}', '{"polled": "x"}', '{"seen": {"r": 3}}'):
        assert PushesCursor.parse(text) == PushesCursor()

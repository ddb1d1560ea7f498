"""Titles of layers: nothing leaves the folder."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fair_dagster.oci.artifacts.titles import STAGING, title_problem, title_problems


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("../../x", "out of the folder"),
        ("a/../../x", "out of the folder"),
        ("/etc/passwd", "out of the folder"),
        ("C:x", "out of the folder"),
        ("..\\x", "backslash"),
        ("a\x00b", "character"),
        ("a\nb", "character"),
        ("", "names no file"),
        (".", "names no file"),
        ("a//b", "no plain path"),
        ("./a", "no plain path"),
        ("a/", "no plain path"),
        ("x" * 256, "over 255 bytes"),
        (f"{STAGING}/x", "keeps for itself"),
    ],
)
def test_unsafe_titles_are_refused(title: str, words: str) -> None:
    assert words in str(title_problem(title))


@pytest.mark.parametrize("title", ["model.onnx", "sub/dir/model.bin", "ä b.txt", "...", "a..b", ".hidden"])
def test_plain_titles_are_taken(title: str) -> None:
    assert title_problem(title) is None


@given(st.text(alphabet="./\\a:~ \x00", max_size=12))
def test_no_title_that_is_taken_leaves_its_folder(title: str) -> None:
    if title_problem(title) is None:
        depth = 0
        for part in title.split("/"):
            depth += -1 if part == ".." else 1
            assert depth > 0
        assert not title.startswith(("/", "~/"[1:]))


def test_titles_of_one_artifact_go_together() -> None:
    assert title_problems(["a", "b/c", "b/d"]) == []
    problems = title_problems(["a", "a", "b", "b/c", "../x"])
    assert len(problems) == 3
    assert "stands at 2 layers" in problems[1]
    assert "is a file and a folder" in problems[2]

"""Tables, JSON and failures as they are printed."""

import errno
import io
import json
import math
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fair_dagster.cli.terminal.failures import explain
from fair_dagster.cli.terminal.output import Output, json_text
from fair_dagster.cli.terminal.tables import Column
from fair_dagster.domain.errors import PipelineError, RefusedError

LONG_ID = "a-model-with-a-name-as-long-as-a-name-may-ever-get-in-this-system-v12"
COLUMNS = (Column("version", whole=True), Column("stage"), Column("note"))


def printed(columns: int | None, rows: list[list[object]]) -> str:
    """The table on a terminal of so many columns, or on a pipe."""
    stdout = io.StringIO()
    Output(stdout, io.StringIO(), width=columns).table(COLUMNS, rows)
    return stdout.getvalue()


@pytest.mark.parametrize("columns", [20, 40, 80, 100, 200])
def test_an_id_is_whole_at_any_width(columns: int) -> None:
    text = printed(columns, [[LONG_ID, "production", "words " * 30]])
    assert LONG_ID in text
    assert "production" in text


def test_no_line_is_wider_than_the_terminal_when_the_words_fit() -> None:
    text = printed(80, [["short-v1", "production", "words " * 60], [LONG_ID[:40], "none", "x"]])
    assert max(map(len, text.splitlines())) <= 80
    assert "version" in text.splitlines()[0]


def test_a_table_that_does_not_fit_becomes_a_paragraph_a_row() -> None:
    text = printed(72, [[LONG_ID, "production", "note"], ["b-v1", "none", None]])
    assert text.splitlines()[0] == LONG_ID
    assert "  stage  production" in text
    assert "b-v1" in text.splitlines()


def test_a_pipe_gets_tab_separated_rows() -> None:
    text = printed(None, [[LONG_ID, "production", "words " * 60], ["b-v1", None, "a\tb\nc"]])
    header, first, second = text.splitlines()
    assert header.split("\t") == ["version", "stage", "note"]
    assert first.split("\t") == [LONG_ID, "production", "words " * 60]
    assert second.split("\t") == ["b-v1", "", "a b c"]


def test_a_pipe_gets_the_header_of_an_empty_table() -> None:
    assert printed(None, []) == "version\tstage\tnote\n"
    assert printed(80, []) == ""


def test_brackets_in_a_title_are_no_markup() -> None:
    assert "[bold]x[/bold]" in printed(80, [["a-v1", "none", "[bold]x[/bold]"]])


def test_json_holds_times_paths_and_null_for_what_is_no_number() -> None:
    document = {"at": datetime(2026, 1, 1, tzinfo=UTC), "path": Path("/x"), "nan": math.nan}
    assert json.loads(json_text(document)) == {"at": "2026-01-01T00:00:00+00:00", "path": "/x", "nan": None}


def wrapped(cause: BaseException) -> RuntimeError:
    """What Dagster and SQLAlchemy do to an error."""
    error = RuntimeError("op failed")
    error.__cause__ = cause
    return error


def test_a_refusal_inside_a_wrapper_is_told_with_all_its_problems() -> None:
    failure = explain(wrapped(RefusedError("dataset 'x'", ["one", "two"])))
    assert failure is not None
    assert failure.document() == {"error": "dataset 'x' was refused", "problems": ["one", "two"]}


def test_a_failed_pipeline_is_told_by_its_message() -> None:
    failure = explain(PipelineError("train_model: ValueError: no pixels"))
    assert failure is not None
    assert failure.message == "train_model: ValueError: no pixels"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/home/x"), "free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "/home/x"), "--home"),
        (OSError(errno.EROFS, "Read-only file system", "/home/x"), "/home/x"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "readonly database"),
    ],
)
def test_a_full_or_read_only_disk_is_told_in_a_sentence(error: Exception, said: str) -> None:
    failure = explain(wrapped(error))
    assert failure is not None
    assert said in failure.message
    assert "\n" not in failure.message


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    assert explain(KeyError("x")) is None

"""What a person sees on a real terminal, and what a program gets from a real pipe."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.terminals import CALL, environment, show

LONG = """
from tests.factories import version
names = ["buildings-synthetic-town", "buildings-kathmandu-settlements"]
fair.records = [version(number, name=name) for name in names for number in (1, 12)]
"""
SLOW_RUN = """
import time
from fair_dagster.cli.terminal.progress import show_count, wait
from fair_dagster.cli.terminal.output import Output
from tests.cli.fakes import FakeStarted
class Slow(FakeStarted):
    def wait(self, progress=None):
        time.sleep(0.3)
        return super().wait(progress)
out = Output(sys.stdout, sys.stderr)
wait(Slow("ramp-nepal-v1", steps=[(1, 2, "epoch")]), out, "ramp-nepal-v1")
with show_count(out, "Reconciling", "the catalog") as progress:
    time.sleep(0.3)
    out.remark("a remark meanwhile")
sys.exit()
"""


@pytest.fixture
def call(tmp_path: Path) -> str:
    return CALL.format(home=str(tmp_path), prepare=LONG)


def test_versions_with_long_names_fit_100_columns(call: str) -> None:
    shown = show(call, "version", "list", columns=100)
    assert shown.code == 0, shown.text
    lines = shown.text.splitlines()
    assert max(map(len, lines)) <= 100
    header = next(line for line in lines if line.startswith("version"))
    assert all(title in header for title in ("version", "stage", "base", "dataset", "metrics", "created"))
    assert "buildings-kathmandu-settlements-v12 " in shown.text, "an id is whole"
    assert "\x1b[1m" in shown.raw, "the header is bold"


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_table_has_no_control_sequences_where_none_are_wanted(call: str, variables: dict[str, str]) -> None:
    shown = show(call, "version", "list", variables=variables)
    assert shown.code == 0, shown.text
    assert "\x1b" not in shown.raw


def test_a_bar_names_its_phase_before_the_work_reports_one(tmp_path: Path) -> None:
    shown = show(CALL.format(home=str(tmp_path), prepare=SLOW_RUN))
    assert shown.code == 0, shown.text
    first = shown.text.index("ramp-nepal-v1: starting")
    assert first < shown.text.index("ramp-nepal-v1: epoch 1/2") < shown.text.index("Reconciling: the catalog")
    assert "a remark meanwhile\n" in shown.text, "in a line of its own"


def test_quiet_draws_no_bar(tmp_path: Path) -> None:
    program = CALL.format(home=str(tmp_path), prepare="")
    asked = ("finetune", "--base-model", "ramp", "--dataset", "banepa", "--name", "ramp-nepal")
    loud, quiet = show(program, *asked), show(program, *asked, "--quiet")
    assert loud.code == quiet.code == 0
    assert "starting" in loud.text
    assert "\x1b" not in quiet.raw
    assert "next:" not in quiet.text
    assert quiet.text.startswith("version")


def test_a_reader_that_goes_away_ends_a_command_quietly(call: str) -> None:
    """As ``fair-dagster version list | head -0`` does; what was not written yet was told as a traceback."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", call, "version", "list"]
    with os.fdopen(write, "wb") as closed:
        ended = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, env=environment(), check=False)
    assert ended.stderr.decode() == ""
    assert ended.returncode == 141


def test_a_pipe_gets_rows_that_programs_split(call: str) -> None:
    command = [sys.executable, "-c", call, "version", "list"]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment({"COLUMNS": "40"}), check=True)
    header, *rows = (line.split("\t") for line in ended.stdout.splitlines())
    assert header == ["version", "stage", "base model", "dataset", "metrics", "created"]
    assert len(rows) == 4
    assert {len(row) for row in rows} == {6}
    assert "\x1b" not in ended.stdout
    assert all(row[5].endswith("Z") and row[5][10] == "T" for row in rows)

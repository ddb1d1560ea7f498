"""The root command: help without heavy imports, exit codes, errors in both forms."""

import errno
import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from fair_dagster.cli.root import NOUNS
from fair_dagster.domain.errors import PipelineError, RefusedError
from tests.cli.conftest import Call
from tests.cli.fakes import FakeFair, FakeStarted

HEAVY = ("dagster", "zenml", "pandas", "rasterio", "onnxruntime", "numpy", "pydantic", "shapely", "rich")


def test_help_imports_nothing_heavy() -> None:
    # One process for all of them: what the last one has not imported, none has.
    program = f"""
import sys
from typing import Any
from click.testing import CliRunner
from fair_dagster.cli.root import NOUNS, root
for arguments in [[], *([noun] for noun in NOUNS)]:
    result = CliRunner().invoke(root, [*arguments, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.stdout, arguments
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"


def test_root_help_names_every_noun_without_importing_any() -> None:
    program = """
import sys
from typing import Any
from click.testing import CliRunner
from fair_dagster.cli.root import NOUNS, root
text = CliRunner().invoke(root, ["--help"]).output
assert all(noun in text for noun in NOUNS), text
print([n.module for n in NOUNS.values() if f"fair_dagster.cli.{n.module}" in sys.modules])
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"


@pytest.mark.parametrize("noun", NOUNS)
def test_every_noun_has_help(call: Call, noun: str) -> None:
    result = call(noun, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage:")


def test_a_refusal_exits_with_1_and_lists_every_reason_on_stderr(call: Call, fair: FakeFair) -> None:
    fair.error = RefusedError("promotion of 'x-v1'", ["no weights", "no model"])
    result = call("version", "promote", "x-v1")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "no weights" in result.stderr
    assert "no model" in result.stderr


def test_a_refusal_with_json_is_one_document_on_stdout_as_well(call: Call, fair: FakeFair) -> None:
    fair.error = RefusedError("promotion of 'x-v1'", ["no weights", "no model"])
    result = call("version", "promote", "x-v1", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "error": "promotion of 'x-v1' was refused",
        "problems": ["no weights", "no model"],
    }
    assert "no weights" in result.stderr


def test_a_full_disk_exits_with_1_without_a_traceback(call: Call, fair: FakeFair) -> None:
    fair.error = OSError(errno.ENOSPC, "No space left on device", "/x")
    result = call("version", "promote", "x-v1")
    assert result.exit_code == 1
    assert result.stderr == "Error: /x: No space left on device; free some space and try again\n"


def test_ctrl_c_exits_with_130(call: Call, fair: FakeFair) -> None:
    fair.error = KeyboardInterrupt()
    fair.error.add_note("2 of 3 are written")
    result = call("version", "promote", "x-v1")
    assert result.exit_code == 130
    assert result.stderr == "interrupted\n2 of 3 are written\n"


@pytest.mark.parametrize(
    "arguments",
    [("predict", "m", "--images", "."), ("finetune", "--base-model", "a", "--dataset", "b", "--name", "c")],
)
def test_sigterm_stops_a_run_that_is_waited_for(
    call: Call, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run went on unseen."""

    def wait(_self: FakeStarted, progress: Any = None) -> str:
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("the signal was not heeded")

    monkeypatch.setattr(FakeStarted, "wait", wait)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        result = call(*arguments)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN, "as it was"
    finally:
        signal.signal(signal.SIGTERM, before)
    assert result.exit_code == 143
    assert "run-1 was told to stop" in result.stderr


def test_a_fault_of_the_program_is_not_hidden(call: Call, fair: FakeFair) -> None:
    fair.error = ZeroDivisionError()
    assert isinstance(call("version", "promote", "x-v1").exception, ZeroDivisionError)


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-noun",),
        ("version", "promote"),
        ("version", "compare", "a-v1"),
        ("version", "compare", "a-v1", "a-v1"),
        ("finetune", "--base-model", "a", "--dataset", "b"),
        ("finetune", "--base-model", "a", "--dataset", "b", "--name", "c", "--set", "epochs"),
        ("finetune", "--base-model", "a", "--dataset", "b", "--name", "c", "--set", "e=1", "--set", "e=2"),
        ("base-model", "register"),
        ("base-model", "register", "a", "--all"),
        ("item", "patch", "a"),
        ("run", "logs", "a", "--since", "yesterday"),
        ("run", "list", "--limit", "0"),
        ("ui", "--port", "0"),
    ],
)
def test_wrong_usage_exits_with_2_and_asks_for_nothing(call: Call, fair: FakeFair, arguments: tuple[str, ...]) -> None:
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert fair.asked == []


def test_a_wrong_setting_is_named() -> None:
    environment = {"FAIR_OFFLINE": "perhaps", "FAIR_ALLOW_PICKLE": "no idea", "PATH": ""}
    command = [sys.executable, "-c", "from fair_dagster.cli import main; main()", "catalog", "show"]
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert finished.returncode == 1
    assert "FAIR_OFFLINE" in finished.stderr
    assert "FAIR_ALLOW_PICKLE" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_failed_run_tells_the_cause(call: Call, fair: FakeFair) -> None:
    fair.error = PipelineError("train_model: ValueError: no pixels")
    result = call("finetune", "--base-model", "ramp", "--dataset", "banepa", "--name", "ramp-nepal")
    assert result.exit_code == 1
    assert "ValueError: no pixels" in result.stderr

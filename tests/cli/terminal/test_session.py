"""The options that every command takes, and what they show and hide."""

import logging
import re
from collections.abc import Iterator

import click
import pytest

from fair_dagster.cli.root import root
from tests.cli.conftest import Call
from tests.cli.fakes import FakeFair

LINE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|DEBUG) fair_dagster\.\w+: (.*)$", re.MULTILINE)


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def test_every_command_takes_quiet_and_verbose() -> None:
    found = dict(commands(root))
    assert len(found) > 40
    for path, command in found.items():
        options = {name for parameter in command.params for name in parameter.opts}
        assert {"-q", "--quiet", "-v", "--verbose"} <= options, path


@pytest.fixture
def noisy(fair: FakeFair, monkeypatch: pytest.MonkeyPatch) -> FakeFair:
    """One that logs at every level, and so does a library."""
    asked = type(fair).models

    def models(self: FakeFair) -> list[str]:
        log = logging.getLogger("fair_dagster.test")
        log.debug("how")
        log.info("what")
        logging.getLogger("library").warning("careful")
        return list(asked(self))

    monkeypatch.setattr(type(fair), "models", models)
    return fair


@pytest.mark.usefixtures("noisy")
@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (("version", "list"), []),
        (("version", "list", "-v"), ["what"]),
        (("--verbose", "version", "list"), ["what"]),
        (("version", "list", "-vv"), ["how", "what"]),
        (("-v", "version", "list", "-v"), ["how", "what"]),
    ],
)
def test_verbose_logs_what_is_done_with_times_on_stderr(
    call: Call, arguments: tuple[str, ...], lines: list[str]
) -> None:
    result = call(*arguments)
    assert result.exit_code == 0
    assert [found[2] for found in LINE.finditer(result.stderr)] == lines
    assert LINE.search(result.stdout) is None
    assert logging.getLogger("fair_dagster").handlers == [], "it ends with the command"


@pytest.mark.usefixtures("noisy")
@pytest.mark.parametrize("arguments", [("version", "list", "--quiet"), ("-q", "version", "list")])
def test_quiet_leaves_out_advice_and_logs(
    call: Call, arguments: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    assert "there is no version" in call("version", "list").stderr
    caplog.clear()
    result = call(*arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert caplog.records == []
    assert logging.root.manager.disable == logging.NOTSET


def test_quiet_keeps_results_and_errors(call: Call, fair: FakeFair) -> None:
    assert call("init").stdout.splitlines()[-1].startswith("next: ")
    assert [line.split()[0] for line in call("init", "-q").stdout.splitlines()] == ["home", "catalog"]
    fair.error = OSError(28, "No space left on device", "/x")
    assert call("version", "promote", "x-v1", "-q").stderr.startswith("Error: /x")


def test_quiet_and_verbose_exclude_each_other(call: Call, fair: FakeFair) -> None:
    assert call("-q", "version", "list", "-v").exit_code == 2
    assert fair.asked == []

"""The commands of the guide to registries are commands that there are, with the options that they take."""

import re
import shlex
from pathlib import Path

import click
import pytest

from fair_dagster.cli.root import root
from fair_dagster.settings import PROJECT_ROOT

GUIDE = PROJECT_ROOT / "docs" / "oci-guide.md"


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", GUIDE.read_text(), re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line[line.index("fair-dagster ") :] for line in lines if "fair-dagster " in line]


def test_the_guide_has_commands() -> None:
    assert len(commands()) > 30


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_guide_is_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("key.pem", "key.pub"):
        Path(name).touch()
    # What comes behind a pipe, or hands the end of a block to the next, is the shell's.
    words = shlex.split(re.split(r" \| | \|\| ", line.replace("$(", "").replace("'\n", ""))[0])[1:]
    command: click.Command = root
    context = command.make_context("fair-dagster", words)
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None, name
        command, context = found, found.make_context(str(name), rest, parent=context)

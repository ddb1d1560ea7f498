"""Programs on a real terminal of their own: what they write to it, with every control sequence."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
CALL = """
import sys
from pathlib import Path
from fair_dagster.cli.root import root
from fair_dagster.cli.terminal.session import Session
from tests.cli.fakes import FakeFair
fair = FakeFair(Path({home!r}))
{prepare}
root(sys.argv[1:], prog_name="fair-dagster", obj=Session(lambda: fair))
"""
"""``fair-dagster`` on the fake, whose answers ``prepare`` changes."""


@dataclass(frozen=True)
class Shown:
    """What was written to the terminal, and the exit code."""

    raw: str
    code: int

    @property
    def text(self) -> str:
        """Without control sequences."""
        return _CONTROL_SEQUENCE.sub("", self.raw).replace("\r\n", "\n")


def environment(variables: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """The environment of a person at an ordinary terminal, whatever the tests run in."""
    unset = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "CI"}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    return {**kept, "TERM": "xterm-256color", **variables}


def show(
    program: str, *arguments: str, columns: int = 100, variables: Mapping[str, str] = MappingProxyType({})
) -> Shown:
    """Run Python code with stdin, stdout and stderr on a terminal of ``columns``."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env=environment(variables), start_new_session=True
    ) as process:
        os.close(follower)
        found = bytearray()
        try:
            while chunk := os.read(leader, 65536):
                found += chunk
        except OSError:
            # Linux: the last program at the terminal has ended.
            pass
        finally:
            os.close(leader)
    return Shown(found.decode(), process.returncode)

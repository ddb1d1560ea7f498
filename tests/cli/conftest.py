"""How the tests call the command line: in this process, on a fake installation."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from click.testing import CliRunner, Result

from fair_dagster.cli.root import root
from fair_dagster.cli.terminal.session import Session
from fair_dagster.fair import Fair
from tests.cli.fakes import FakeFair

Call = Callable[..., Result]


@pytest.fixture
def fair(tmp_path: Path) -> FakeFair:
    return FakeFair(tmp_path)


@pytest.fixture
def call(fair: FakeFair) -> Call:
    """Call ``fair-dagster`` with the fake; ``columns`` is the width of the terminal, None a pipe."""

    def run(*arguments: str, stdin: str | None = None, columns: int | None = 80, interactive: bool = False) -> Result:
        session = Session(lambda: cast(Fair, fair), interactive=interactive, width=columns)
        return CliRunner().invoke(root, list(arguments), obj=session, input=stdin, prog_name="fair-dagster")

    return run

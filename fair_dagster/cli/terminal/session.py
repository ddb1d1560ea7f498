"""What a command gets: the ``Fair`` it talks to and the output it prints on. Nothing is opened before it is used."""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Concatenate, ParamSpec

import click

from fair_dagster.cli.terminal.output import Output

if TYPE_CHECKING:
    from fair_dagster.fair import Fair

P = ParamSpec("P")


def open_fair() -> "Fair":
    """The installation that the ``FAIR_*`` variables describe.

    Raises:
        RefusedError: a variable has a value that cannot be used.
    """
    from pydantic import ValidationError

    from fair_dagster.domain.errors import RefusedError
    from fair_dagster.fair import Fair

    try:
        # Where stderr leads is looked up when there is something to tell.
        return Fair(tell=lambda text: click.echo(text, err=True))
    except ValidationError as error:
        problems = [
            # A problem of several variables names them itself.
            f"FAIR_{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}"
            if problem["loc"]
            else problem["msg"].removeprefix("Value error, ")
            for problem in error.errors()
        ]
        raise RefusedError("configuration by FAIR_* variables", problems) from error


class Session:
    """One call of the command line.

    Args:
        opener: gives the ``Fair`` to talk to; tests hand in one of their own.
        interactive: whether somebody can be asked; by default when stdin is a terminal.
    """

    def __init__(self, opener: Callable[[], "Fair"] = open_fair, *, interactive: bool | None = None) -> None:
        self._opener = opener
        self._interactive = interactive
        self.as_json = False

    @cached_property
    def fair(self) -> "Fair":
        return self._opener()

    @cached_property
    def out(self) -> Output:
        """Where the command at work prints."""
        return self.output()

    @property
    def interactive(self) -> bool:
        return sys.stdin.isatty() if self._interactive is None else self._interactive

    def output(self) -> Output:
        return Output(sys.stdout, sys.stderr, as_json=self.as_json)

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Keep stdout for the command's own output: what libraries print meanwhile goes to stderr."""
        _ = self.out
        with contextlib.redirect_stdout(sys.stderr):
            yield


def reports(function: Callable[Concatenate[Session, P], None]) -> Callable[P, None]:
    """Give a command its session and the option ``--json``."""

    @click.option(
        "--json",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_choose_json,
        help="Print one JSON document instead of text.",
    )
    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        session = _session(click.get_current_context())
        with session.working():
            function(session, *args, **kwargs)

    return command


def _choose_json(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    _session(ctx).as_json = value


def _session(ctx: click.Context) -> Session:
    return ctx.ensure_object(Session)

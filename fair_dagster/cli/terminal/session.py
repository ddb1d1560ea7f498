"""What a command gets: the ``Fair`` it talks to and the output it prints on. Nothing is opened before it is used.

The options that all commands share are defined here: ``--json``, ``--quiet``, ``--verbose``.
"""

import contextlib
import functools
import logging
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from fair_dagster.cli.terminal.logs import hide_logs, show_logs
from fair_dagster.cli.terminal.output import Output

if TYPE_CHECKING:
    from fair_dagster.fair import Fair

P = ParamSpec("P")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_LOG = logging.getLogger(__name__)


def open_fair(tell: Callable[[str], None]) -> "Fair":
    """The installation that the ``FAIR_*`` variables describe; ``tell`` takes its remarks.

    Raises:
        RefusedError: a variable has a value that cannot be used.
    """
    from pydantic import ValidationError

    from fair_dagster.domain.errors import RefusedError
    from fair_dagster.fair import Fair

    try:
        fair = Fair(tell=tell)
    except ValidationError as error:
        problems = [
            # A problem of several variables names them itself.
            f"FAIR_{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}"
            if problem["loc"]
            else problem["msg"].removeprefix("Value error, ")
            for problem in error.errors()
        ]
        raise RefusedError("configuration by FAIR_* variables", problems) from error
    _LOG.info("home %s, catalog %s", fair.settings.home, fair.settings.catalog or fair.settings.catalog_path)
    return fair


class Session:
    """One call of the command line.

    Args:
        opener: gives the ``Fair`` to talk to; tests hand in one of their own.
        interactive: whether somebody can be asked; by default when stdin is a terminal.
        width: of the terminal that is printed on; by default stdout is asked, which may be none.
    """

    def __init__(
        self,
        opener: Callable[[], "Fair"] | None = None,
        *,
        interactive: bool | None = None,
        width: int | None = None,
    ) -> None:
        self._opener = opener
        self._interactive = interactive
        self._width = width
        self.as_json = False
        self.quiet = False
        self.verbose = 0

    @cached_property
    def fair(self) -> "Fair":
        return self._opener() if self._opener else open_fair(self.out.remark)

    @cached_property
    def out(self) -> Output:
        """Where the command at work prints."""
        return self.output()

    @property
    def interactive(self) -> bool:
        return sys.stdin.isatty() if self._interactive is None else self._interactive

    def output(self) -> Output:
        return Output(sys.stdout, sys.stderr, as_json=self.as_json, quiet=self.quiet, width=self._width)

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Keep stdout for the command's own output: what libraries print meanwhile goes to stderr."""
        _ = self.out
        with contextlib.redirect_stdout(sys.stderr):
            yield

    @contextlib.contextmanager
    def logging(self) -> Iterator[None]:
        """Show the logs that were asked for.

        Raises:
            click.UsageError: more and less of them were asked for.
        """
        if self.quiet and self.verbose:
            raise click.UsageError("--quiet and --verbose exclude each other")
        with hide_logs() if self.quiet else show_logs(self.verbose):
            yield


def reports(function: Callable[Concatenate[Session, P], None]) -> Callable[P, None]:
    """Give a command its session and the options ``--json``, ``--quiet`` and ``--verbose``."""

    @click.option(
        "--json",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_choose_json,
        help="Print one JSON document instead of text.",
    )
    @functools.wraps(function)
    def command(session: Session, /, *args: P.args, **kwargs: P.kwargs) -> None:
        with session.working():
            function(session, *args, **kwargs)

    return serves(command)


def serves(function: Callable[Concatenate[Session, P], None]) -> Callable[P, None]:
    """Give a command its session and the options ``--quiet`` and ``--verbose``: one that goes on until it is ended."""

    @verbosity
    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        session = _session(click.get_current_context())
        with session.logging():
            function(session, *args, **kwargs)

    return command


def verbosity(function: Decorated) -> Decorated:
    """The options ``--quiet`` and ``--verbose``, which every command and the root take."""
    quiet = click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_choose_quiet,
        help="Print results and errors only.",
    )
    verbose = click.option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=_choose_verbose,
        help="Log what is done, with times; -vv logs more.",
    )
    return quiet(verbose(function))


def _choose_json(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    _session(ctx).as_json = value


def _choose_quiet(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    _session(ctx).quiet |= value


def _choose_verbose(ctx: click.Context, _parameter: click.Parameter, value: int) -> None:
    _session(ctx).verbose += value


def _session(ctx: click.Context) -> Session:
    return ctx.ensure_object(Session)

"""Printing: text and tables that fit the terminal, tab-separated rows on a pipe, JSON for machines, failures.

Knows nothing of models or runs. A command builds rows and documents; ``views`` helps it. How values look stands in
``cells``, how a table is fitted in ``tables``.

See docs/decisions/0054.
"""

import json
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from fair_dagster.cli.terminal.cells import cell
from fair_dagster.cli.terminal.failures import ExplainedFailure
from fair_dagster.cli.terminal.tables import GAP, Column, Row, fit, name_zones, to_rows

if TYPE_CHECKING:
    from rich.console import Console


class ReaderGoneError(Exception):
    """Nobody reads what a command prints any more, as after ``| head``. The command has nothing left to do."""


class Output:
    """Where one command prints.

    Args:
        stdout: for what was asked for.
        stderr: for everything else: progress, remarks, failures.
        as_json: print documents instead of text.
        quiet: print results and errors only.
        width: of the terminal that ``stdout`` is; by default it is asked, and None where ``stdout`` is no terminal.
    """

    def __init__(
        self,
        stdout: TextIO,
        stderr: TextIO,
        *,
        as_json: bool = False,
        quiet: bool = False,
        width: int | None = None,
    ) -> None:
        self._stdout, self._stderr = stdout, stderr
        self.as_json, self.quiet = as_json, quiet
        self._width = width

    def show(self, document: Any, text: Callable[[], None]) -> None:
        """Print ``document`` as JSON or call ``text``, whichever was asked for."""
        if self.as_json:
            _write(self._stdout, json_text(document))
        else:
            text()

    def json_line(self, document: Any) -> None:
        """A document of many on stdout, each in a line of its own as soon as it is there; nothing for people."""
        if self.as_json:
            _write(self._stdout, json_line(document))

    def line(self, text: str = "") -> None:
        """A line on stdout; nothing where JSON was asked for."""
        if not self.as_json:
            _write(self._stdout, f"{text}\n")

    def hint(self, command: str) -> None:
        """The command that most people give next, on stdout; no part of the result."""
        if not self.quiet:
            self.line(f"next: {command}")

    def remark(self, text: str) -> None:
        """A line on stderr for people who watch: progress, advice. Nothing where only results were asked for."""
        if not self.quiet:
            self.problem(text)

    def problem(self, text: str) -> None:
        """A line on stderr that says what went wrong or what the result lacks."""
        if self.shows_bars:
            # A bar that is drawn at the moment moves down for it.
            self.stderr_console.print(text, soft_wrap=True)
        else:
            _write(self._stderr, f"{text}\n")

    def fail(self, failure: ExplainedFailure) -> None:
        """Report a failure to people on stderr and, where JSON was asked for, to machines on stdout."""
        self.problem(f"Error: {failure.message}")
        if self.as_json:
            self.show(failure.document(), lambda: None)

    def table(self, columns: Sequence[Column], rows: Sequence[Row]) -> None:
        """A table on a terminal, which may be too narrow: one paragraph a row then. On a pipe, tab-separated rows.

        Without rows a terminal shows nothing, and a pipe gets the header.
        """
        if self.as_json:
            return
        if not self._is_terminal:
            _write(self._stdout, to_rows(columns, rows))
            return
        if not rows:
            return
        if fitted := fit(columns, rows, self._console.width):
            self._console.print(fitted.to_rich())
            return
        titles = [column.title for column in name_zones(columns, rows)]
        for first, *others in rows:
            self.line(cell(first))
            self.pairs(list(zip(titles[1:], others, strict=True)), indent=2)

    def fits(self, columns: Sequence[Column], rows: Sequence[Row]) -> bool:
        """Whether ``table`` prints one, and no paragraphs."""
        return not self._is_terminal or fit(columns, rows, self._console.width) is not None

    def pairs(self, values: Sequence[tuple[str, Any]], *, indent: int = 0) -> None:
        """Names and values, aligned; empty values are left out. A path or id is never broken: people copy it."""
        shown = [(name, text) for name, value in values if (text := cell(value))]
        margin = indent + max((len(name) for name, _ in shown), default=0) + GAP
        for name, text in shown:
            start = f"{' ' * indent}{name}".ljust(margin)
            if not self._is_terminal:
                # A line each, as grep and awk want it.
                self.line(start + " ".join(text.split()))
                continue
            self.line(
                textwrap.fill(
                    text,
                    # On a very narrow terminal values get their own half at least.
                    width=max(self._console.width, 2 * margin),
                    initial_indent=start,
                    subsequent_indent=" " * margin,
                    break_long_words=False,
                    break_on_hyphens=False,
                )
            )

    @property
    def shows_bars(self) -> bool:
        """Whether somebody watches a terminal that can redraw a line."""
        return not self.quiet and self._stderr.isatty() and os.environ.get("TERM") != "dumb"

    @cached_property
    def stderr_console(self) -> "Console":
        """For a progress bar."""
        return _console(self._stderr)

    @property
    def _is_terminal(self) -> bool:
        return self._width is not None or self._stdout.isatty()

    @cached_property
    def _console(self) -> "Console":
        return _console(self._stdout, self._width)


def _write(stream: TextIO, text: str) -> None:
    """
    Raises:
        ReaderGoneError: the other end of the pipe is closed.
    """
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError as error:
        raise ReaderGoneError from error


def _console(stream: TextIO, width: int | None = None) -> "Console":
    from rich.console import Console

    # See https://no-color.org; Rich would still print in bold.
    color_system: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return Console(file=stream, width=width, color_system=color_system, highlight=False, markup=False, emoji=False)


def json_text(document: Any) -> str:
    """One indented JSON document with a line end. Datetimes are ISO 8601, NaN is null."""
    import orjson

    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    return orjson.dumps(document, default=_plain, option=options).decode()


def json_line(document: Any) -> str:
    """One JSON document in one line, with its end. Values as in ``json_text``; numbers and depth have no limit."""
    import orjson

    try:
        return orjson.dumps(document, default=_plain, option=orjson.OPT_APPEND_NEWLINE).decode()
    except orjson.JSONEncodeError:
        return json.dumps(document, default=_plain, separators=(",", ":"), ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")

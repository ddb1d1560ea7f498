"""Printing: text and tables that fit the terminal, one JSON document for machines, failures.

Knows nothing of models or runs. A command builds rows and documents; ``views`` helps it.
"""

import json
import math
import os
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from fair_dagster.cli.terminal.failures import ExplainedFailure

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_GAP = 2
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_PIPE_WIDTH = 10_000
"""Width where no terminal limits it: a row stays one line, as grep and awk want it."""

Row = Sequence[Any]


@dataclass(frozen=True)
class Column:
    """A column of a table. One that is ``whole`` is never wrapped: it holds what people copy."""

    title: str
    whole: bool = False
    right: bool = False


class Output:
    """Where one command prints.

    Args:
        stdout: for what was asked for.
        stderr: for everything else: progress, remarks, failures.
        as_json: print documents instead of text.
    """

    def __init__(self, stdout: TextIO, stderr: TextIO, *, as_json: bool = False) -> None:
        self._stdout, self._stderr = stdout, stderr
        self.as_json = as_json

    def show(self, document: Any, text: Callable[[], None]) -> None:
        """Print ``document`` as JSON or call ``text``, whichever was asked for."""
        if self.as_json:
            self._stdout.write(json_text(document))
            self._stdout.flush()
        else:
            text()

    def json_line(self, document: Any) -> None:
        """A document of many on stdout, each in a line of its own as soon as it is there; nothing for people."""
        if self.as_json:
            self._stdout.write(json_line(document))
            self._stdout.flush()

    def line(self, text: str = "") -> None:
        """A line on stdout; nothing where JSON was asked for."""
        if not self.as_json:
            self._stdout.write(f"{text}\n")
            self._stdout.flush()

    def remark(self, text: str) -> None:
        """A line on stderr, in both forms of output."""
        self._stderr.write(f"{text}\n")
        self._stderr.flush()

    def fail(self, failure: ExplainedFailure) -> None:
        """Tell a failure to people on stderr and, where JSON was asked for, to machines on stdout."""
        self.remark(f"Error: {failure.message}")
        if self.as_json:
            self.show(failure.document(), lambda: None)

    def table(self, columns: Sequence[Column], rows: Sequence[Row]) -> None:
        """A table; where the terminal is too narrow for it, one paragraph a row. Nothing without rows."""
        if not rows:
            return
        cells = [[cell(value) for value in row] for row in rows]
        if self.fits(columns, cells):
            self._console.print(_rich_table(columns, cells))
            return
        for row in cells:
            self.line(row[0])
            self.pairs([(column.title, text) for column, text in zip(columns[1:], row[1:], strict=True)], indent=2)

    def pairs(self, values: Sequence[tuple[str, Any]], *, indent: int = 0) -> None:
        """Names and values, aligned; empty values are left out. A path or id is never broken: people copy it."""
        shown = [(name, text) for name, value in values if (text := cell(value))]
        margin = indent + max((len(name) for name, _ in shown), default=0) + _GAP
        for name, text in shown:
            self.line(
                textwrap.fill(
                    text,
                    # On a very narrow terminal values get their own half at least.
                    width=max(self._console.width, 2 * margin),
                    initial_indent=f"{' ' * indent}{name}".ljust(margin),
                    subsequent_indent=" " * margin,
                    break_long_words=False,
                    break_on_hyphens=False,
                )
            )

    def fits(self, columns: Sequence[Column], rows: Sequence[Row]) -> bool:
        """Whether a table of these cells fits without breaking a word or a whole column."""
        widths = [
            max(
                _narrowest(column.title, whole=False),
                *(_narrowest(cell(row[index]), whole=column.whole) for row in rows),
                0,
            )
            for index, column in enumerate(columns)
        ]
        return sum(widths) + _GAP * (len(widths) - 1) <= self._console.width

    @property
    def stderr_is_terminal(self) -> bool:
        return self._stderr.isatty()

    @cached_property
    def stderr_console(self) -> "Console":
        """For a progress bar."""
        from rich.console import Console

        return Console(file=self._stderr)

    @cached_property
    def _console(self) -> "Console":
        from rich.console import Console

        is_limited = self._stdout.isatty() or "COLUMNS" in os.environ
        width = None if is_limited else _PIPE_WIDTH
        return Console(file=self._stdout, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


def cell(value: Any) -> str:
    """A value as people read it: numbers with four digits, yes and no, lists with commas, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={cell(item)}" for name, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(cell(item) for item in value)
    # What a stranger has written must not move the cursor.
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(value))


def _number(value: float) -> str:
    if math.isnan(value):
        return ""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.4g}"


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


def _narrowest(text: str, *, whole: bool) -> int:
    """The columns that ``text`` needs when it is wrapped between words, or not wrapped at all."""
    from rich.cells import cell_len

    return max((cell_len(part) for part in ([text] if whole else text.split())), default=0)


def _rich_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD,
        header_style="bold",
        # One more column of the gap is drawn by the box.
        padding=(0, _GAP - 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=column.whole,
            overflow="fold",
        )
    for row in rows:
        # Text objects: a bracket in a title is no markup.
        table.add_row(*(Text(text) for text in row))
    return table

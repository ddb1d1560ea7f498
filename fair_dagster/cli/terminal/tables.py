"""Tables: fitted to the width of a terminal, or as tab-separated rows for programs. Nothing is printed here."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fair_dagster.cli.terminal.cells import cell, exact, is_moment

if TYPE_CHECKING:
    from rich.table import Table

GAP = 2
"""Empty columns between two columns of a table, and between a name and its value."""
_WORDS = re.compile(r"\S+\s*")
_PARTS = re.compile(r"[^\s\-=,/:_]*[\-=,/:_]+\s*|[^\s\-=,/:_]+\s*")
"""Where a word may be broken when the words alone do not fit: a slug after a hyphen, a metric after its name."""

Row = Sequence[Any]
Cells = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Column:
    """A column of a table. One that is ``whole`` is never wrapped: it holds what people copy."""

    title: str
    whole: bool = False
    right: bool = False


def to_rows(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """The header and ``rows``, a line each, their fields separated by tabs. No field contains a tab or a line end."""
    lines = [[exact(column.title) for column in columns], *([exact(value) for value in row] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)


@dataclass(frozen=True)
class Fitted:
    """A table with its cells broken into lines of at most ``widths`` terminal columns."""

    columns: Sequence[Column]
    cells: Cells
    widths: Sequence[int]

    def to_rich(self) -> "Table":
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(
            box=box.SIMPLE_HEAD,
            header_style="bold",
            # One more column of the gap is drawn by the box.
            padding=(0, GAP - 1, 0, 0),
            pad_edge=False,
            show_edge=False,
            collapse_padding=True,
        )
        for column, width in zip(self.columns, self.widths, strict=True):
            header = Text(_wrap(column.title, width))
            table.add_column(header, justify="right" if column.right else "left", width=width, no_wrap=True)
        for row in self.cells:
            # Text objects: a bracket in a title is no markup.
            lines = (_wrap(text, width) for text, width in zip(row, self.widths, strict=True))
            table.add_row(*(Text(text) for text in lines))
        return table


def fit(columns: Sequence[Column], rows: Sequence[Row], width: int) -> Fitted | None:
    """The table in at most ``width`` terminal columns; None where the columns that stay whole leave too little."""
    titled = name_zones(columns, rows)
    cells = [[cell(value) for value in row] for row in rows]
    available = width - GAP * (len(columns) - 1)
    widths = [
        max(_width(column.title), *(_width(row[index]) for row in cells), 0) for index, column in enumerate(titled)
    ]
    for pieces in (_WORDS, _PARTS):
        floors = [
            max(
                _narrowest(column.title, _WORDS),
                *(_width(row[index]) if column.whole else _narrowest(row[index], pieces) for row in cells),
                0,
            )
            for index, column in enumerate(titled)
        ]
        if sum(floors) <= available:
            return Fitted(titled, cells, _shrink(widths, floors, available))
    return None


def name_zones(columns: Sequence[Column], rows: Sequence[Row]) -> list[Column]:
    """The columns; a title above moments says that they are in UTC."""
    return [
        replace(column, title=f"{column.title} (UTC)") if any(is_moment(row[index]) for row in rows) else column
        for index, column in enumerate(columns)
    ]


def _shrink(widths: Sequence[int], floors: Sequence[int], available: int) -> list[int]:
    """Take from the widest column that is above its floor until all of them fit."""
    found = list(widths)
    while sum(found) > available:
        widest = max((index for index in range(len(found)) if found[index] > floors[index]), key=found.__getitem__)
        found[widest] -= 1
    return found


def _narrowest(text: str, pieces: re.Pattern[str]) -> int:
    """The terminal columns that ``text`` needs when it may be broken after each of its pieces."""
    return max((_width(piece.rstrip()) for piece in pieces.findall(text)), default=0)


def _wrap(text: str, width: int) -> str:
    return "\n".join(_lines(text, width))


def _lines(text: str, width: int) -> Iterator[str]:
    """``text`` in lines of at most ``width``: broken between words, and inside one only where it is too long."""
    line = ""
    for word in _WORDS.findall(text):
        pieces = [word] if _width(word.rstrip()) <= width else _PARTS.findall(word)
        for piece in pieces:
            if line and _width(line + piece.rstrip()) > width:
                yield line.rstrip()
                line = ""
            line += piece
    yield line.rstrip()


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)

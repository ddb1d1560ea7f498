"""What every benchmark says in the end: tables for people, the same as JSON for machines, budgets kept or
not.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows with the same keys; the keys are the column titles and name the unit."""

    title: str
    rows: Sequence[Row]


@dataclass(frozen=True)
class Budget:
    """A limit that a measured value must keep."""

    name: str
    value: float
    limit: float
    must_be: Literal["at most", "at least"] = "at most"
    unit: str = ""

    @property
    def kept(self) -> bool:
        return self.value <= self.limit if self.must_be == "at most" else self.value >= self.limit


@dataclass(frozen=True)
class Report:
    """A benchmark's outcome. ``notes`` says what was left out and why."""

    benchmark: str
    tables: Sequence[Table]
    budgets: Sequence[Budget] = ()
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def kept(self) -> bool:
        return all(budget.kept for budget in self.budgets)


def show(report: Report, *, as_json: bool) -> int:
    """Print ``report`` and return the exit code: 1 when a budget is not kept."""
    if as_json:
        document = asdict(report)
        for entry, budget in zip(document["budgets"], report.budgets, strict=True):
            entry["kept"] = budget.kept
        json.dump(document | {"kept": report.kept}, sys.stdout, indent=2)
        print()
    else:
        _print(report)
    return 0 if report.kept else 1


def note(text: str) -> None:
    """Say what is going on, where it does not get between the lines of the result."""
    print(text, file=sys.stderr, flush=True)


def _print(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console()
    for table in report.tables:
        shown = RichTable(title=table.title, title_justify="left")
        columns = list(table.rows[0]) if table.rows else []
        for column in columns:
            numeric = isinstance(table.rows[0][column], int | float)
            shown.add_column(column, justify="right" if numeric else "left")
        for row in table.rows:
            shown.add_row(*(_cell(row[column]) for column in columns))
        console.print(shown)
    for budget in report.budgets:
        mark = "[green]kept[/green]" if budget.kept else "[red]missed[/red]"
        limit = f"{budget.must_be} {_cell(budget.limit)}"
        console.print(f"{mark}  {budget.name}: {_cell(budget.value)} {budget.unit} ({limit})")
    for text in report.notes:
        console.print(f"[dim]{text}[/dim]")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)

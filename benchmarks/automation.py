"""What automation costs: sensor ticks, reconciliation, backfills, and the way from ZenML to STAC with the real daemon.

Each part is a benchmark of its own (``python -m benchmarks.<part>``) and runs in a process of its own, since ZenML
serves one home a process and memory is measured. Here they become one report, with how cost grows with size.
"""

import json
import math
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from benchmarks.report import Budget, Report, Row, Table, note, show

PARTS = ("stage_sensor", "reconciliation", "backfill", "latency")
SMALLER = {"backfill": ("--families", "50")}
"""Parts that measure one size by themselves: the options for a smaller one beside it."""
_COST = re.compile(r"\b(s|ms|seconds|MB)\b")
"""What the title of a column with a cost holds."""


def measured(part: str, *options: str) -> dict[str, Any]:
    """The report of one benchmark as JSON.

    Raises:
        RuntimeError: it broke; the message is the end of its output.
    """
    note(f"— {' '.join((part, *options))} —")
    command = [sys.executable, "-m", f"benchmarks.{part}", "--json", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        raise RuntimeError(f"benchmarks.{part} ended with {done.returncode}: {done.stdout[-2000:]}") from error
    return found


def combined(reports: Mapping[str, Mapping[str, Any]], broken: Mapping[str, str]) -> Report:
    """One report of several; a part that broke is a budget that is missed."""
    tables, budgets, notes = [], [], []
    for report in reports.values():
        tables += [Table(table["title"], table["rows"]) for table in report["tables"]]
        budgets += [
            Budget(*(budget[name] for name in ("name", "value", "limit", "must_be", "unit")))
            for budget in report["budgets"]
        ]
        notes += list(report["notes"])
    if rows := [row for part, report in reports.items() for row in growth(part, report.get("sizes", report["tables"]))]:
        tables.append(Table("How cost grows with size: 1 is in step with it, 0 not at all", rows))
    budgets += [Budget(f"{part} runs to its end", 1, 0, unit="failures") for part in broken]
    notes += [f"{part}: {reason}" for part, reason in broken.items()]
    return Report("automation", tables, budgets, notes)


def with_smaller(report: Mapping[str, Any], smaller: Mapping[str, Any]) -> dict[str, Any]:
    """``report`` with the first rows of both as a table of sizes."""
    both = [found["tables"][0]["rows"][0] for found in (smaller, report)]
    return {**report, "sizes": [{"title": report["tables"][0]["title"], "rows": both}]}


def growth(part: str, tables: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The exponent of every cost between the smallest and the largest size of a table.

    The size is the first column of whole numbers; a cost names its unit in the title.
    """
    rows: list[Row] = []
    for table in tables:
        held = table["rows"]
        sizes = [name for name in (held[0] if held else ()) if all(isinstance(row[name], int) for row in held)]
        if not sizes:
            continue
        size = sizes[0]
        small, large = (choose(held, key=lambda row: row[size]) for choose in (min, max))
        for column in [name for name in held[0] if _COST.search(name)]:
            if small[column] > 0 and large[column] > 0 and small[size] < large[size]:
                exponent = math.log(large[column] / small[column]) / math.log(large[size] / small[size])
                between = f"{small[size]:,} → {large[size]:,} {size}"
                costs = f"{small[column]:.3g} → {large[column]:.3g}"
                rows.append({"part": part, "size": between, "cost": f"{column}: {costs}", "exponent": exponent})
    return rows


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--part", "parts", type=click.Choice(PARTS), multiple=True, help="Only this part; may be repeated.")
def main(as_json: bool, parts: Sequence[str]) -> None:
    reports: dict[str, dict[str, Any]] = {}
    broken: dict[str, str] = {}
    for part in parts or PARTS:
        try:
            reports[part] = measured(part)
            if part in SMALLER:
                reports[part] = with_smaller(reports[part], measured(part, *SMALLER[part]))
        except RuntimeError as error:
            broken[part] = str(error)
    sys.exit(show(combined(reports, broken), as_json=as_json))


if __name__ == "__main__":
    main()

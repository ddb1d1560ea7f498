"""How long a stage change in ZenML takes to reach STAC, with the real daemon.

A process with ZenML's own client promotes a version; the clock stops when the item stands in the catalog's files. The
wait for the sensor's next tick is part of it, so the changes are spread over the interval.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks import orchestration
from benchmarks.daemon import Daemon
from benchmarks.plain_zenml import PlainZenML
from benchmarks.report import Budget, Report, Row, Table, note, show
from fair_dagster.catalog.json.store import JsonStore
from fair_dagster.domain import items
from fair_dagster.domain.items.stac import ItemKey
from fair_dagster.fair import Fair
from fair_dagster.flows.finetunes.training import Ask
from fair_dagster.pipelines.zenml.environment import zenml_environment

ALLOWED_SECONDS = 10
"""Above the sensor's interval: tick, run queue, start of a process, publication."""
_PATIENCE_SECONDS = 180
_MODEL = "latency"


def trained(home: Path) -> tuple[Fair, str]:
    """An installation with a trained version, and ZenML's UUID of it."""
    note("making an installation and training one version …")
    fair = orchestration.prepare(home, None)
    version = fair.finetune(Ask(orchestration.MODEL, orchestration.DATASET, "trained", {"epochs": 1})).wait()
    return fair, fair.version(version).uuid


def measure(fair: Fair, source: str, repeat: int, interval: int) -> list[float]:
    """Seconds of ``repeat`` promotions after one that warms up the code server.

    Raises:
        RuntimeError: an item did not come; the message is the end of the daemon's output.
    """
    log = fair.settings.home / "daemon.log"
    found = []
    with (
        PlainZenML(zenml_environment(fair.settings)) as zenml,
        Daemon(fair.settings, log, FAIR_SENSOR_INTERVAL=str(interval)),
    ):
        for number in range(repeat + 1):
            version = zenml.clone(source, _MODEL)
            # Each at another moment between two ticks.
            time.sleep(interval * number / (repeat + 1))
            start = time.perf_counter()
            zenml.stage(version, "production")
            _wait(fair, ItemKey(items.LOCAL_MODELS, f"{_MODEL}-v{number + 1}"), log)
            found.append(time.perf_counter() - start)
            note(f"promotion {number} of {repeat}: {found[-1]:.1f} s" if number else f"start: {found[-1]:.1f} s")
    return found[1:]


def _wait(fair: Fair, key: ItemKey, log: Path) -> None:
    store, deadline = JsonStore(fair.settings.catalog_path), time.monotonic() + _PATIENCE_SECONDS
    while (item := store.get(key)) is None or not items.is_active(item):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{key} did not come in {_PATIENCE_SECONDS} s:\n{log.read_text()[-3000:]}")
        time.sleep(0.05)


def report(seconds: Sequence[float], interval: int) -> Report:
    """The promotions, their median and the worst, and whether the budget is kept."""
    rows: list[Row] = [{"promotion": str(number), "s": value} for number, value in enumerate(seconds, start=1)]
    rows += [{"promotion": "median", "s": statistics.median(seconds)}, {"promotion": "worst", "s": max(seconds)}]
    return Report(
        "latency",
        [Table(f"Stage change in ZenML to item in STAC, a sensor interval of {interval} s", rows)],
        [Budget("worst stage change to item, daemon running", max(seconds), interval + ALLOWED_SECONDS, unit="s")],
    )


def run(repeat: int, interval: int) -> Report:
    """Prepare, measure, report."""
    with tempfile.TemporaryDirectory(prefix="fair-benchmark-", ignore_cleanup_errors=True) as folder:
        return report(measure(*trained(Path(folder)), repeat, interval), interval)


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--repeat", type=click.IntRange(min=1), default=5, show_default=True, help="Promotions.")
@click.option("--interval", type=click.IntRange(min=1), default=10, show_default=True, help="Sensor interval, seconds.")
def main(as_json: bool, repeat: int, interval: int) -> None:
    sys.exit(show(run(repeat, interval), as_json=as_json))


if __name__ == "__main__":
    main()

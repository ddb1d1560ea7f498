"""Ticks of the stage sensor over model versions of a real ZenML (SQLite) and their items, with one change.

    python -m benchmarks.stage_sensor [--json] [--sizes 100,1000,10000] [--repeat 5]

Each size has a home of its own, in a process of its own. A quarter of the versions are in production and published, a
quarter are archived and published. Versions and items are written in bulk, past ZenML's client and the store: what
is measured only reads them. A change is made by ZenML's own client, outside the time that is measured.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import click
import orjson

from benchmarks.report import Budget, Report, Row, Table, note, show
from fair_dagster.domain import items
from fair_dagster.domain.publication.stage_changes import StagesCursor
from fair_dagster.flows.publication.stages import StagesLook, look
from fair_dagster.flows.services import Services
from fair_dagster.pipelines.zenml.client import open_client
from fair_dagster.pipelines.zenml.model_versions import ModelVersions
from fair_dagster.settings import Settings

SIZES = (100, 1_000, 10_000)
BUDGET_SECONDS = 1.0
BASE = "ramp"
STAGES = ("production", "archived", None, None)
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Seeded:
    """A version that was written in bulk."""

    uuid: UUID
    name: str
    number: int
    stage: str | None


def seed(settings: Settings, size: int) -> list[Seeded]:
    """``size`` versions, four a model, and the items of those that were promoted."""
    seeded = [Seeded(uuid4(), f"model-{index // 4}", index % 4 + 1, STAGES[index % 4]) for index in range(size)]
    _seed_zenml(settings, seeded)
    for version in seeded:
        if version.stage is not None:
            _seed_item(settings, version)
    return seeded


def _seed_zenml(settings: Settings, seeded: Sequence[Seeded]) -> None:
    from sqlalchemy import insert, select

    # One of each is made by the client, and shows what the columns hold.
    ModelVersions(settings).create("pattern")
    from zenml.zen_stores.schemas import ModelSchema, ModelVersionSchema
    from zenml.zen_stores.sql_zen_store import SqlZenStore

    store = open_client(settings).zen_store
    if not isinstance(store, SqlZenStore):
        raise TypeError("the benchmark writes into ZenML's database, and ZENML_STORE_URL names a server: unset it")
    names = dict.fromkeys(version.name for version in seeded)
    with store.engine.begin() as connection:
        model = dict(connection.execute(select(ModelSchema.__table__)).mappings().one())
        pattern = dict(connection.execute(select(ModelVersionSchema.__table__)).mappings().one())
        models = {name: model | {"id": uuid4(), "name": name} for name in names}
        rows = [_version_row(pattern, models[version.name]["id"], version, at) for at, version in enumerate(seeded)]
        connection.execute(insert(ModelSchema.__table__), list(models.values()))
        connection.execute(insert(ModelVersionSchema.__table__), rows)


def _version_row(pattern: dict[str, Any], model: UUID, version: Seeded, at: int) -> dict[str, Any]:
    moment = (_BEGAN + timedelta(seconds=at)).replace(tzinfo=None)
    return pattern | {
        "id": version.uuid,
        "model_id": model,
        "name": str(version.number),
        "number": version.number,
        "stage": version.stage,
        "producer_run_id_if_numeric": version.uuid,
        "created": moment,
        "updated": moment,
    }


def _seed_item(settings: Settings, version: Seeded) -> None:
    item_id = f"{version.name}-v{version.number}"
    properties = {
        "datetime": "2026-01-01T00:00:00Z",
        "version": str(version.number),
        "deprecated": version.stage != "production",
        "mlm:name": version.name,
        "fair:base_model": BASE,
        items.ZENML_UID: str(version.uuid),
        "description": "x" * 4_000,
    }
    path = settings.catalog_path / items.LOCAL_MODELS / item_id / f"{item_id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps({"type": "Feature", "id": item_id, "properties": properties, "assets": {}}))


class Ticks:
    """The sensor's looks, one after the other, each timed."""

    def __init__(self, settings: Settings) -> None:
        self.services = Services(settings)
        self.cursor = StagesCursor()

    def timed(self) -> tuple[float, StagesLook]:
        start = time.perf_counter()
        found = look(self.services, StagesCursor.parse(self.cursor.dump()), [BASE], set)
        self.cursor = StagesCursor.parse(found.cursor.dump())
        return time.perf_counter() - start, found

    def expecting(self, requests: int) -> float:
        """Seconds of a tick.

        Raises:
            RuntimeError: it asked for another number of runs than it should.
        """
        seconds, found = self.timed()
        if len(found.requests) != requests:
            raise RuntimeError(f"the tick asked for {len(found.requests)} runs instead of {requests}")
        return seconds

    def close(self) -> None:
        while self.cursor.open:
            self.timed()


def measure(home: Path, size: int, repeat: int) -> Row:
    """Medians for one size. ``empty cursor`` is all ticks from a lost cursor until everything was compared."""
    settings = Settings(home=home, catalog="", offline=True)
    seeded = seed(settings, size)
    client, ticks = open_client(settings), Ticks(settings)
    begun = time.perf_counter()
    ticks.expecting(0)
    first = time.perf_counter() - begun
    while ticks.cursor.resume:
        ticks.expecting(0)
    idle = [ticks.expecting(0) for _ in range(repeat)]
    changed, deleted = [], []
    for number in range(repeat):
        # One that is published is archived, and the item follows by hand: publication is not measured here.
        version = seeded[number * 4]
        client.update_model_version(version.name, version.uuid, stage="archived", force=True)
        changed.append(ticks.expecting(1))
        _seed_item(settings, Seeded(version.uuid, version.name, version.number, "archived"))
        ticks.close()
    for number in range(repeat):
        version = seeded[size // 8 * 4 + number * 4 + 1]
        client.delete_model_version(version.uuid)
        deleted.append(_until_asked(ticks))
        (settings.catalog_path / items.LOCAL_MODELS / f"{version.name}-v{version.number}").rename(
            home / f"gone-{number}"
        )
        ticks.close()
    return {
        "versions": size,
        "items": size // 2,
        "first tick s": first,
        "nothing changed s": statistics.median(idle),
        "one stage changed s": statistics.median(changed),
        "one deleted s": statistics.median(deleted),
    }


def _until_asked(ticks: Ticks) -> float:
    """Seconds of the longest tick until the deletion was noticed."""
    longest = 0.0
    for _ in range(100):
        seconds, found = ticks.timed()
        longest = max(longest, seconds)
        if found.requests:
            return longest
    raise RuntimeError("a deletion was not noticed in 100 ticks")


def measure_apart(size: int, repeat: int) -> Row:
    """The same in a process of its own: one serves one home of ZenML."""
    with tempfile.TemporaryDirectory(prefix="fair-benchmark-", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", "benchmarks.stage_sensor", "--one", folder, str(size), str(repeat)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    row: Row = json.loads(done.stdout.strip().splitlines()[-1])
    return row


def report(sizes: Sequence[int], repeat: int, measured: Callable[[int, int], Row] = measure_apart) -> Report:
    """Measure each of ``sizes`` and hold the largest against the budget."""
    rows = []
    for size in sizes:
        note(f"{size:,} versions …")
        rows.append(measured(size, repeat))
    largest = rows[-1]
    return Report(
        "stage sensor",
        [Table("Ticks of the stage sensor", rows)],
        [
            Budget(f"a tick over {sizes[-1]:,} versions with one {name}", largest[key], BUDGET_SECONDS, unit="s")
            for name, key in (("change", "one stage changed s"), ("deletion", "one deleted s"))
        ],
        ("The first tick opens ZenML and reads the index; it compares at most 2,000 changes.",),
    )


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--sizes", default=",".join(map(str, SIZES)), show_default=True, help="Numbers of versions.")
@click.option("--repeat", type=click.IntRange(min=1), default=5, show_default=True, help="Changes a size.")
@click.option("--one", nargs=3, type=(str, int, int), hidden=True)
def main(as_json: bool, sizes: str, repeat: int, one: tuple[str, int, int] | None) -> None:
    if one is not None:
        click.echo(json.dumps(measure(Path(one[0]), one[1], one[2])))
        return
    sys.exit(show(report([int(size) for size in sizes.split(",")], repeat), as_json=as_json))


if __name__ == "__main__":
    main()

"""Publishing into JSON catalogs of growing size, and the same through fair-py-ops' ``StacCatalogManager``.

    python -m benchmarks.catalog [--json] [--no-peer] [--sizes 100,400,1000,10000]
    python -m benchmarks.catalog --stac-api [--json] [--no-peer] [--sizes 1000,10000,100000] [--imported 10000]

A promotion is the whole road of one: read the family, diff it against what it should be, apply; every file
is flushed to the disk. The comparison publishes N equal items one by one into an empty catalog, by both, in
one run. With --stac-api the catalog is one on pgstac, with servers of the benchmark's own: see ``stac_catalog``.
"""

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.items import local_item, local_key
from benchmarks.peers import PEER, PeerUnavailableError, peer_python
from benchmarks.report import Budget, Report, Row, Table, note, show
from fair_dagster.catalog.json.store import JsonStore
from fair_dagster.domain.items.fields import LOCAL_MODELS
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.domain.publication.drift import diff

SIZES = "100,400,1000,10000"
STAC_API_SIZES = "1000,10000,100000"
PEER_SECONDS = 600.0
PROMOTIONS = 30
VERSIONS = 4
"""Versions of a family in the comparison."""


def _creation(slugs: Sequence[str]) -> ChangeSet:
    changes = (
        Change("create", local_key(slug, 1), "first version", local_item(slug, 1, deprecated=False, newest=1))
        for slug in slugs
    )
    return ChangeSet(tuple(changes))


def promote(store: JsonStore, slug: str, number: int = 2) -> float:
    """Promote version ``number`` of ``slug`` over the ones before it; the seconds it took."""
    desired = [local_item(slug, n, deprecated=n < number, newest=number) for n in range(1, number + 1)]
    start = time.perf_counter()
    store.apply(diff(store.family(LOCAL_MODELS, slug), desired))
    return time.perf_counter() - start


def measure_promotions(sizes: Sequence[int], folder: Path) -> list[Row]:
    """One row a catalog size: the median and the worst of ``PROMOTIONS`` promotions."""
    rows: list[Row] = []
    for size in sizes:
        note(f"promoting in a catalog of {size:,} items …")
        store = JsonStore(folder / str(size))
        store.apply(_creation([f"model-{n}" for n in range(size)]))
        step = max(1, size // PROMOTIONS)
        seconds = [promote(store, f"model-{n}") for n in range(0, size, step)][:PROMOTIONS]
        median = statistics.median(seconds) * 1000
        first = rows[0]["median ms"] if rows else median
        rows.append(
            {
                "items": size,
                "promotions": len(seconds),
                "median ms": median,
                "worst ms": max(seconds) * 1000,
                "growth": median / first,
            }
        )
    return rows


def versions(count: int) -> list[tuple[str, int]]:
    """Slug and number of ``count`` versions in the order of their publication: families grow side by side."""
    families = max(1, count // VERSIONS)
    return [(f"model-{n % families}", n // families + 1) for n in range(count)]


def publish_by_us(count: int, folder: Path) -> list[float]:
    """The seconds of each of ``count`` publishes."""
    store = JsonStore(folder)
    return [promote(store, slug, number) for slug, number in versions(count)]


def publish_by_peer(count: int, folder: Path) -> list[float]:
    """The seconds of each of ``count`` publishes by the peer; fewer when its time was up."""
    python = peer_python("fair-py-ops", PEER)
    folder.mkdir()
    # The peer writes its own version links.
    plain = [local_item(*version, deprecated=False, newest=version[1]) | {"links": []} for version in versions(count)]
    source = folder / "items.json"
    source.write_text(json.dumps(plain))
    script = Path(__file__).with_name("catalog_peer.py")
    command = [str(python), str(script), str(source), str(folder / "catalog"), str(PEER_SECONDS)]
    note(f"publishing {count} versions through {PEER}, which takes minutes …")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerUnavailableError(f"the peer failed: {done.stderr.strip().splitlines()[-1:]}")
    seconds: list[float] = json.loads(done.stdout.strip().splitlines()[-1])
    return seconds


def compare(sizes: Sequence[int], folder: Path) -> list[Row]:
    """One row a number of publishes: both totals and their ratio. The largest run holds the smaller ones."""
    most = max(sizes)
    theirs = publish_by_peer(most, folder / "peer")
    # It takes seconds, so a moment in which the machine was busy would decide: the middle one of three counts.
    ours = sorted((publish_by_us(most, folder / f"ours-{n}") for n in range(3)), key=sum)[1]
    rows: list[Row] = []
    for size in sorted({min(size, len(theirs)) for size in sizes}):
        mine, peers = sum(ours[:size]), sum(theirs[:size])
        last = slice(max(0, size - 20), size)
        rows.append(
            {
                "publishes": size,
                "ours s": mine,
                "peer s": peers,
                "peer / ours": peers / mine,
                "ours ms at the end": statistics.median(ours[last]) * 1000,
                "peer ms at the end": statistics.median(theirs[last]) * 1000,
            }
        )
    return rows


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--peer/--no-peer", default=True, help="Compare with fair-py-ops (minutes).")
@click.option("--sizes", default="", help="Catalog sizes, separated by commas.")
@click.option("--stac-api", is_flag=True, help="Measure a catalog on a STAC API with pgstac.")
@click.option("--imported", default=10_000, help="With --stac-api: items of the bulk import.")
@click.pass_context
def main(context: click.Context, *, as_json: bool, peer: bool, sizes: str, stac_api: bool, imported: int) -> None:
    wanted = sorted({int(size) for size in (sizes or (STAC_API_SIZES if stac_api else SIZES)).split(",")})
    with tempfile.TemporaryDirectory(prefix="fair-benchmark-") as name:
        measured = _on_stac_api(wanted, imported, peer, Path(name)) if stac_api else _on_files(wanted, peer, Path(name))
    context.exit(show(measured, as_json=as_json))


def _on_files(wanted: Sequence[int], peer: bool, folder: Path) -> Report:
    tables: list[Table] = []
    budgets: list[Budget] = []
    notes: list[str] = []
    rows = measure_promotions(wanted, folder)
    tables.append(Table("One promotion: new version, old one deprecated, links", rows))
    budgets += [
        Budget(f"one promotion at {row['items']:,} items", row["median ms"], 60.0, unit="ms")
        for row in rows
        if row["items"] >= 10_000
    ]
    if peer:
        _compare(wanted, folder, tables, budgets, notes)
    return Report("catalog", tables, budgets, notes)


def _on_stac_api(wanted: Sequence[int], imported: int, peer: bool, folder: Path) -> Report:
    from benchmarks import servers, stac_catalog

    try:
        with servers.catalog_servers() as running:
            found = stac_catalog.measure(running, wanted, imported, peer=peer, folder=folder)
    except servers.ServersUnavailableError as error:
        return Report("catalog --stac-api", [], [], [f"not measured: {error}"])
    return Report("catalog --stac-api", *found)


def _compare(wanted: Sequence[int], folder: Path, tables: list[Any], budgets: list[Budget], notes: list[str]) -> None:
    """Add the comparison, or the reason why there is none."""
    compared = [size for size in wanted if size <= 400] or [100]
    try:
        rows = compare(compared, folder)
    except PeerUnavailableError as error:
        notes.append(f"not compared with {PEER}: {error}")
        return
    tables.append(Table(f"Publishing versions one by one into an empty catalog, against {PEER}", rows))
    last = rows[-1]
    if last["publishes"] >= 400:
        budgets.append(Budget("peer / ours for 400 publishes", last["peer / ours"], 50.0, "at least", "times"))
    elif last["publishes"] < max(compared):
        notes.append(f"{PEER} was stopped after {PEER_SECONDS:g} s and {last['publishes']} publishes")


if __name__ == "__main__":
    main()

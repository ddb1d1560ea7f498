"""The catalog on a STAC API with pgstac: bulk import, and promotions in collections of growing size.

Measured for ``python -m benchmarks.catalog --stac-api``. A promotion is the whole road of one: read the family, diff
it, write it in one transaction; the new version has a datetime that no item had before. Peers run
on the same server, in the same run.
"""

import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from benchmarks.items import local_item, local_key
from benchmarks.peers import PEER, PeerUnavailableError, peer_python
from benchmarks.report import Budget, Row, Table, note
from benchmarks.servers import CatalogServers
from fair_dagster.catalog.json.store import JsonStore
from fair_dagster.catalog.opening import open_store
from fair_dagster.catalog.pgstac.bulk import PgstacPlace
from fair_dagster.catalog.stac_api.layout import StacLayout
from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain.items.fields import LOCAL_MODELS
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.moving import Load
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.domain.publication.drift import diff
from fair_dagster.domain.urls import redact
from fair_dagster.settings import Settings

PROMOTIONS = 40
CLIENTS = 8
OF_EACH_CLIENT = 15
PEER_SIZES = (100, 1000)
PEER_SECONDS = 120.0
ROUNDS = 3
_PROMOTION = "One promotion on pgstac: new version, old one deprecated, links (the range of times was widened before)"
_PYPGSTAC = Path(sys.executable).with_name("pypgstac")
_OURS = Path(sys.executable).with_name("fair-dagster")


def first_versions(count: int) -> Iterator[Item]:
    """One active version of each of ``count`` families."""
    return (local_item(f"model-{n}", 1, deprecated=False, newest=1) for n in range(count))


def fill(settings: Settings, count: int) -> None:
    """Put ``first_versions`` into an empty catalog."""
    keys = frozenset(local_key(f"model-{n}", 1) for n in range(count))
    load = Load(keys, frozenset(), (), {})
    place = PgstacPlace(settings)
    for item in first_versions(count):
        place.expect(item)
    place.write(lambda writer: writer.write(load, lambda: first_versions(count)))


def promote(store: CatalogStore, slug: str) -> float:
    """Promote version 2 of ``slug`` over version 1; the seconds it took."""
    now = datetime.now(UTC).isoformat()
    new = local_item(slug, 2, deprecated=False, newest=2)
    new["properties"] |= {"datetime": now, "updated": now}
    desired = [local_item(slug, 1, deprecated=True, newest=2), new]
    start = time.perf_counter()
    store.apply(diff(store.family(LOCAL_MODELS, slug), desired))
    return time.perf_counter() - start


def measure_promotions(servers: CatalogServers, sizes: Sequence[int], folder: Path) -> list[Row]:
    """One row a collection size: the median of one client, and what eight of them get done in a second."""
    rows: list[Row] = []
    for size in sizes:
        note(f"promoting in a collection of {size:,} items …")
        settings = servers.catalog(f"bench_{size}", folder)
        fill(settings, size)
        store = open_store(settings)
        slugs = [f"model-{n}" for n in range(0, size, max(1, size // (PROMOTIONS + CLIENTS * OF_EACH_CLIENT + 3)))]
        # The first ones open connections and let PostgreSQL plan.
        for slug in slugs[:3]:
            promote(store, slug)
        alone = [promote(store, slug) for slug in slugs[3 : 3 + PROMOTIONS]]
        together, seconds = _promote_together(settings, slugs[3 + PROMOTIONS :])
        servers.drop(f"bench_{size}")
        median = statistics.median(alone) * 1000
        rows.append(
            {
                "items": size,
                "median ms": median,
                "worst ms": max(alone) * 1000,
                "growth": median / rows[0]["median ms"] if rows else 1.0,
                "1 client/s": len(alone) / sum(alone),
                f"{CLIENTS} clients/s": len(together) / seconds if together else 0.0,
                f"median ms of {CLIENTS}": statistics.median(together) * 1000 if together else 0.0,
            }
        )
    return rows


def _promote_together(settings: Settings, slugs: Sequence[str]) -> tuple[list[float], float]:
    """The seconds of each promotion by ``CLIENTS`` processes, and of all of them together."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(CLIENTS + 1), context.Queue()
    shares = [list(slugs[n::CLIENTS])[:OF_EACH_CLIENT] for n in range(CLIENTS)]
    dsn = settings.pgstac_dsn.get_secret_value() if settings.pgstac_dsn else ""
    arguments = [(settings.plain() | {"pgstac_dsn": dsn}, share, barrier, results) for share in shares]
    clients = [context.Process(target=_client, args=each, daemon=True) for each in arguments]
    for client in clients:
        client.start()
    barrier.wait(120)
    start = time.perf_counter()
    found = [results.get(timeout=600) for _ in clients]
    seconds = time.perf_counter() - start
    for client in clients:
        client.join(30)
    return [one for share in found for one in share], seconds


def _client(settings: dict[str, Any], slugs: Sequence[str], barrier: Any, results: Any) -> None:
    store = open_store(Settings.model_validate(settings))
    store.family(LOCAL_MODELS, slugs[0])
    barrier.wait(120)
    results.put([promote(store, slug) for slug in slugs])


def measure_import(servers: CatalogServers, count: int, folder: Path) -> list[Row]:
    """Commands as people call them, turn by turn: ``pypgstac load`` and our import of the same items."""
    note(f"importing {count:,} items …")
    source, lines, documents = _sources(count, folder)
    theirs, ours, parts = [], [], []
    for number in range(ROUNDS):
        dsn = servers.database("bench_theirs")
        load = [str(_PYPGSTAC), "load", "--dsn", dsn]
        start = time.perf_counter()
        for table, file in (("collections", documents), ("items", lines)):
            subprocess.run([*load, "--table", table, "--file", str(file)], check=True, stdout=subprocess.DEVNULL)
        theirs.append(time.perf_counter() - start)
        settings = servers.catalog("bench_ours", folder / "home")
        parts.append(_import(settings, source))
        ours.append(sum(parts[-1].values()))
        servers.drop("bench_ours")
        note(f"  round {number + 1}: pypgstac {theirs[-1]:.1f} s, ours {ours[-1]:.1f} s")
    shutil.rmtree(source)
    peer = statistics.median(theirs)
    rows = []
    for name, seconds in (
        ("pypgstac load", peer),
        ("ours: load", statistics.median(own - part["comparing"] for own, part in zip(ours, parts, strict=True))),
        ("ours: load and comparison", statistics.median(ours)),
    ):
        rows.append({"": name, "items": count, "s": seconds, "items/s": count / seconds, "to pypgstac": peer / seconds})
    return rows


def _sources(count: int, folder: Path) -> tuple[Path, Path, Path]:
    """The same items as a JSON catalog for us, and as the lines and documents that ``pypgstac`` takes."""
    source = JsonStore(folder / "source")
    items = list(first_versions(count))
    keys = [local_key(f"model-{n}", 1) for n in range(count)]
    source.apply(ChangeSet(tuple(Change("create", key, "new", item) for key, item in zip(keys, items, strict=True))))
    layout = StacLayout("http://localhost")
    lines, documents = folder / "items.ndjson", folder / "collections.ndjson"
    with lines.open("wb") as stream:
        stream.writelines(
            orjson.dumps(layout.to_stored(item, key)) + b"\n" for item, key in zip(items, keys, strict=True)
        )
    documents.write_bytes(orjson.dumps(source.collection(LOCAL_MODELS)) + b"\n")
    return source.root, lines, documents


def _import(settings: Settings, source: Path) -> dict[str, float]:
    """The seconds of our command, by what it does; ``comparing`` is what ``pypgstac load`` has no counterpart of."""
    dsn = settings.pgstac_dsn.get_secret_value() if settings.pgstac_dsn else ""
    environment = os.environ | settings.environment() | {"FAIR_PGSTAC_DSN": dsn}
    command = [str(_OURS), "catalog", "import", str(source), "--json"]
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - start
    parts: dict[str, float] = json.loads(done.stdout)["seconds"]
    return parts | {"starting": seconds - sum(parts.values())}


def compare_promotions(servers: CatalogServers, folder: Path) -> tuple[list[Row], list[str]]:
    """One row a collection size: a promotion by us, by the peer through pgstac and through the API alone.

    Returns also what the peer did not manage, with its reason; the other cells stand.
    """
    python = peer_python("fair-py-ops-pgstac", PEER, "pypgstac[psycopg]==0.10.0")
    rows: list[Row] = []
    failures: list[str] = []
    for size in PEER_SIZES:
        times: dict[str, float] = {}
        for backend in ("pgstac", "api"):
            settings = servers.catalog(f"peer_{backend}", folder / "home")
            try:
                fill(settings, size)
                times[backend] = _by_peer(python, backend, settings, size, folder)
            except PeerUnavailableError as error:
                failures.append(f"no figure of {PEER} ({backend}) at {size:,} items: {error}")
            finally:
                servers.drop(f"peer_{backend}")
        rows.append(_compared(size, times, *_by_us(servers, size, folder)))
    return rows, failures


def _by_us(servers: CatalogServers, size: int, folder: Path) -> tuple[float, float]:
    """The median milliseconds of our promotions, with the database and through the API alone."""
    settings = servers.catalog("peer_ours", folder / "home")
    try:
        fill(settings, size)
        store = open_store(settings)
        ours = statistics.median([promote(store, f"model-{n}") for n in range(12)][2:])
        alone = open_store(settings.model_copy(update={"pgstac_dsn": None}))
        through_api = statistics.median([promote(alone, f"model-{n}") for n in range(20, 32)][2:])
    finally:
        servers.drop("peer_ours")
    return ours * 1000, through_api * 1000


def _compared(size: int, times: Mapping[str, float], ours: float, through_api: float) -> Row:
    """A row; what the peer did not manage is a word in it and no number."""
    row: Row = {"items": size, "ours ms": ours}
    for backend, mine, label in (("pgstac", ours, ""), ("api", through_api, ", API alone")):
        theirs = times.get(backend)
        if backend == "api":
            row["ours, API alone ms"] = through_api
        row[f"peer {'API' if backend == 'api' else backend} ms"] = "failed" if theirs is None else theirs
        row[f"peer / ours{label}"] = "" if theirs is None else theirs / mine
    return row


def _by_peer(python: Path, backend: str, settings: Settings, size: int, folder: Path) -> float:
    """The median milliseconds of promotions by the peer.

    Raises:
        PeerUnavailableError: it failed; with the reason that its connection pool gave, where that is what failed.
    """
    # The peer writes its own version links.
    plain = [local_item(f"model-{n}", 2, deprecated=False, newest=2) | {"links": []} for n in range(min(size, 5))]
    source = folder / "peer.json"
    source.write_text(json.dumps(plain))
    note(f"promoting in {size:,} items through {PEER} ({backend}) …")
    dsn = settings.pgstac_dsn.get_secret_value() if settings.pgstac_dsn else ""
    script = Path(__file__).with_name("stac_catalog_peer.py")
    command = [str(python), str(script), backend, str(source), settings.catalog, str(PEER_SECONDS)]
    done = subprocess.run(command, input=dsn, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerUnavailableError(f"the peer failed: {_reason(done.stderr)}")
    seconds: list[float] = json.loads(done.stdout.strip().splitlines()[-1])
    return statistics.median(seconds) * 1000


def _reason(text: str) -> str:
    """The last line of what the peer said. A pool only tells that time was up; why, it has logged before."""
    lines = [line.strip() for line in text.strip().splitlines()]
    logged = [line for line in lines if "error connecting in" in line]
    return redact("; ".join(dict.fromkeys([*logged[-1:], *lines[-1:]])) or "it said nothing")


def budgets(promotions: Sequence[Row], imports: Sequence[Row]) -> list[Budget]:
    """What the catalog promises."""
    kept = [
        Budget(f"one promotion at {row['items']:,} items", row["median ms"], 100.0, unit="ms") for row in promotions
    ]
    by_size = {row["items"]: row["median ms"] for row in promotions}
    if {1000, 100_000} <= by_size.keys():
        kept.append(
            Budget("promotion at 100,000 items / at 1,000", by_size[100_000] / by_size[1000], 1.5, unit="times")
        )
    load = next((row for row in imports if row[""] == "ours: load"), None)
    if load and load["items"] >= 1000:
        kept.append(Budget("items/s of the import / of pypgstac load", load["to pypgstac"], 0.8, "at least"))
    return kept


def measure(
    servers: CatalogServers, sizes: Sequence[int], imported: int, *, peer: bool, folder: Path
) -> tuple[list[Table], list[Budget], list[str]]:
    """All tables, the budgets, and what was left out."""
    notes: list[str] = []
    imports = measure_import(servers, imported, folder)
    tables = [Table("Bulk import into pgstac: the commands, median of three rounds", imports)]
    promotions = measure_promotions(servers, sizes, folder / "home")
    tables.append(Table(_PROMOTION, promotions))
    if peer:
        try:
            rows, failures = compare_promotions(servers, folder)
            tables.append(Table(f"The same promotion against {PEER}", rows))
            notes += failures
        except PeerUnavailableError as error:
            notes.append(f"not compared with {PEER}: {error}")
    return tables, budgets(promotions, imports), notes

"""Many processes that promote versions of the same families on pgstac, and readers that never look away.

    python -m benchmarks.catalog_load [--json] [--seconds 60] [--clients 8] [--families 100] [--restart]

Each promotion reads a family, makes a random version of it the active one and counts the family's promotions up by one.
In the end the count of each family is the number of promotions that were acknowledged: not one was lost. Two readers,
one through the API and one by SQL, look at families all the time: none ever has two active items, and none that had an
active item is ever without one. With --restart PostgreSQL is killed and started again half-way. A commit may outlive
that while its answer does not: such a promotion is there and was not acknowledged, at most one of each client.
"""

import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from benchmarks.items import local_item, local_key
from benchmarks.report import Budget, Report, Row, Table, note, show
from fair_dagster.catalog.opening import open_store
from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain.errors import CatalogError, ConflictError
from fair_dagster.domain.items.fields import LOCAL_MODELS, is_active
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.domain.publication.drift import diff
from fair_dagster.settings import PROJECT_ROOT, Settings

VERSIONS = 4
_COUNT = "fair:promotion"
_ACTIVE = """
    SELECT content->'properties'->>'mlm:name', count(*)
        FILTER (WHERE NOT coalesce((content->'properties'->>'deprecated')::boolean, false))
    FROM pgstac.items WHERE collection = 'local-models' GROUP BY 1
"""


def promotion(family: list[Item], slug: str, number: int) -> ChangeSet:
    """Version ``number`` becomes the active one of ``family``, and the family's count goes up by one."""
    count = max((item["properties"].get(_COUNT, 0) for item in family), default=0) + 1
    others = sorted({int(item["properties"]["version"]) for item in family} - {number})
    desired = [local_item(slug, other, deprecated=True, newest=number) for other in others]
    ranks = {item["id"]: item["properties"][_COUNT] for item in family}
    for item in desired:
        item["properties"][_COUNT] = ranks[item["id"]]
    new = local_item(slug, number, deprecated=False, newest=number)
    new["properties"][_COUNT] = count
    return diff(family, [*desired, new])


def promote(store: CatalogStore, slug: str, number: int) -> int:
    """Promote, again while other writers are faster; how often they were."""
    for lost in range(100):
        with suppress(ConflictError):
            store.apply(promotion(store.family(LOCAL_MODELS, slug), slug, number))
            return lost
    raise CatalogError(f"other writers of {slug} were faster a hundred times")


def _client(number: int, settings: Settings, slugs: list[str], until: float, results: Any) -> None:
    chance, store = random.Random(number), open_store(settings)
    done: Counter[str] = Counter()
    conflicts, failures = 0, []
    while time.time() < until:
        slug = chance.choice(slugs)
        try:
            conflicts += promote(store, slug, chance.randint(1, VERSIONS))
            done[slug] += 1
        except CatalogError as error:
            failures.append(str(error))
            time.sleep(0.2)
    results.put({"done": done, "conflicts": conflicts, "failures": failures})


def _read_api(settings: Settings, slugs: list[str], until: float, results: Any) -> None:
    chance, store = random.Random(0), open_store(settings)
    seen: set[str] = set()
    reads, wrong, failures = 0, [], []
    while time.time() < until:
        slug = chance.choice(slugs)
        try:
            active = [item["id"] for item in store.family(LOCAL_MODELS, slug) if is_active(item)]
        except CatalogError as error:
            failures.append(str(error))
            time.sleep(0.2)
            continue
        reads += 1
        if len(active) > 1 or (slug in seen and not active):
            wrong.append(f"{slug}: {active}")
        seen |= {slug} if active else set()
    results.put({"reader": "API", "reads": reads, "families": reads, "wrong": wrong, "failures": failures})


def _read_sql(settings: Settings, slugs: list[str], until: float, results: Any) -> None:
    import psycopg

    dsn = settings.pgstac_dsn.get_secret_value() if settings.pgstac_dsn else ""
    seen: set[str] = set()
    reads, families, wrong, failures = 0, 0, [], []
    while time.time() < until:
        try:
            with psycopg.connect(dsn, autocommit=True, connect_timeout=5) as connection:
                while time.time() < until:
                    active: dict[str, int] = dict(connection.execute(_ACTIVE).fetchall())
                    reads, families = reads + 1, families + len(active)
                    wrong += [f"{slug}: {n} active" for slug, n in active.items() if n > 1 or (slug in seen and n == 0)]
                    seen |= {slug for slug, n in active.items() if n}
                    # All families at each read: without a pause this reader alone would keep a processor busy.
                    time.sleep(0.02)
        except psycopg.Error as error:
            failures.append(str(error).splitlines()[0])
            time.sleep(0.2)
    results.put({"reader": "SQL", "reads": reads, "families": families, "wrong": wrong, "failures": failures})


def crew(settings: Settings, *, seconds: float, clients: int, families: int) -> dict[str, Any]:
    """Let clients and readers work for ``seconds``, and compare what they say with what is there in the end."""
    slugs = [f"model-{n}" for n in range(families)]
    # Collections are made before anybody races for them.
    open_store(settings).refresh(LOCAL_MODELS)
    context = multiprocessing.get_context("fork")
    results, until = context.Queue(), time.time() + seconds
    work: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
        (_client, (n, settings, slugs, until, results)) for n in range(clients)
    ]
    work += [(_read_api, (settings, slugs, until, results)), (_read_sql, (settings, slugs, until, results))]
    processes = [context.Process(target=target, args=arguments, daemon=True) for target, arguments in work]
    for process in processes:
        process.start()
    print("working", flush=True)
    found = [results.get(timeout=seconds + 240) for _ in processes]
    for process in processes:
        process.join(30)
    return _outcome(open_store(settings), slugs, found, seconds)


def _outcome(store: CatalogStore, slugs: list[str], found: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    writers = [one for one in found if "done" in one]
    acknowledged: Counter[str] = Counter()
    for one in writers:
        acknowledged.update(one["done"])
    wrong: list[str] = []
    unacknowledged = 0
    for slug in slugs:
        family = store.family(LOCAL_MODELS, slug)
        count = max((item["properties"][_COUNT] for item in family), default=0)
        unacknowledged += max(count - acknowledged[slug], 0)
        if count < acknowledged[slug]:
            wrong.append(f"{slug}: {acknowledged[slug]} promotions were acknowledged, {count} are there")
        active = [item for item in family if is_active(item)]
        if family and (len(active) != 1 or active[0]["properties"][_COUNT] != count):
            wrong.append(f"{slug}: {len(active)} active items, and the last promotion should be the active one")
        newest = int(active[0]["properties"]["version"]) if active else 0
        if {link["href"] for item in family for link in item["links"] if link["rel"] == "latest-version"} - {
            f"catalog://{local_key(slug, newest).collection}/{local_key(slug, newest).id}"
        }:
            wrong.append(f"{slug}: links lead to another latest version")
    return {
        "promotions": acknowledged.total(),
        "promotions/s": acknowledged.total() / seconds,
        "unacknowledged": unacknowledged,
        "families": len(acknowledged),
        "conflicts": sum(one["conflicts"] for one in writers),
        "failures": sorted({text for one in writers for text in one["failures"]}),
        "writers that failed": sum(bool(one["failures"]) for one in writers),
        "failed reads": sorted({text for one in found if "reader" in one for text in one["failures"]}),
        "readers": [{name: one[name] for name in ("reader", "reads", "families")} for one in found if "reader" in one],
        "seen": sorted({text for one in found for text in one.get("wrong", ())}),
        "wrong": wrong,
    }


def run(
    settings: Settings, *, seconds: float, clients: int, families: int, half_way: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """``crew`` in a process of its own, from which it forks: what the caller has open stays its own."""
    dsn = settings.pgstac_dsn.get_secret_value() if settings.pgstac_dsn else ""
    environment = os.environ | settings.environment() | {"FAIR_PGSTAC_DSN": dsn}
    options = ["--seconds", str(seconds), "--clients", str(clients), "--families", str(families)]
    command = [sys.executable, "-m", "benchmarks.catalog_load", "--crew", *options]
    with subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seconds / 2)
        half_way()
        text = process.stdout.read()
    outcome: dict[str, Any] = json.loads(text)
    return outcome


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--seconds", default=60.0)
@click.option("--clients", default=8)
@click.option("--families", default=100)
@click.option("--restart", is_flag=True, help="Kill PostgreSQL half-way and start it again.")
@click.option("--crew", "is_crew", is_flag=True, hidden=True)
@click.pass_context
def main(
    context: click.Context, *, as_json: bool, seconds: float, clients: int, families: int, restart: bool, is_crew: bool
) -> None:
    if is_crew:
        print(json.dumps(crew(Settings(), seconds=seconds, clients=clients, families=families)))
        return
    from benchmarks.servers import ServersUnavailableError, catalog_servers

    try:
        with catalog_servers() as servers, tempfile.TemporaryDirectory(prefix="fair-benchmark-") as name:
            settings = servers.catalog("bench_load", Path(name))
            note(f"{clients} processes promote versions of {families} families for {seconds:g} s …")
            half_way = servers.restart_postgres if restart else lambda: None
            found = run(settings, seconds=seconds, clients=clients, families=families, half_way=half_way)
    except ServersUnavailableError as error:
        context.exit(show(Report("catalog_load", [], [], [f"not measured: {error}"]), as_json=as_json))
    context.exit(show(_report(found, clients if restart else 0), as_json=as_json))


def _report(found: dict[str, Any], most_unacknowledged: int) -> Report:
    names = ("promotions", "promotions/s", "unacknowledged", "families", "conflicts", "writers that failed")
    rows: list[Row] = [{name: found[name] for name in names}]
    budgets = [
        Budget("reads that saw two active items of a family, or none any more", len(found["seen"]), 0),
        Budget("families with a lost promotion or wrong links", len(found["wrong"]), 0),
        Budget("promotions that nobody was told of", found["unacknowledged"], most_unacknowledged),
    ]
    notes = [
        *found["seen"][:10],
        *found["wrong"][:10],
        *(f"failed: {text}" for text in (*found["failures"], *found["failed reads"])[:10]),
    ]
    tables = [Table("Promotions by many processes on pgstac", rows), Table("Readers beside them", found["readers"])]
    return Report("catalog_load", tables, budgets, notes)


if __name__ == "__main__":
    main()

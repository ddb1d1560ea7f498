"""Asking a repository of many tags for its best model, beside omlmd's crawl.

One registry (Debian's docker-registry) on loopback, every tag with metadata of its own, whole processes, taking turns;
everybody's answer is checked. omlmd is handed the list of tags, ours asks for it. Prints medians; exits with 1 when a
budget is missed.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.oci import running_registry
from benchmarks.peers import PeerUnavailableError, peer_python
from benchmarks.report import Budget, Report, Row, Table, note, show
from fair_dagster.oci.metadata import ModelMetadata
from fair_dagster.oci.pushing import Part, push
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.registries import Registries
from fair_dagster.oci.registry.transfers import in_parallel

_TIMES_FASTER = 4.0
_OURS = """
import json, sys, time
from pathlib import Path
start = time.perf_counter()
from fair_dagster.flows.registries.crawling import artifacts_of, kept_of
from fair_dagster.flows.services import Services
from fair_dagster.oci.crawl.query import Order
from fair_dagster.oci.crawl.walking import FoundArtifact, Target
from fair_dagster.settings import Settings
act, home, repository = sys.argv[1:4]
host = repository.partition("/")[0]
services = Services(Settings(home=Path(home), registries=(f"http://{host}",)))
target = [Target.parse(repository)]
events = kept_of(services, target) if act == "kept" else artifacts_of(services, target, keep=act == "keep")
found = (event for event in events if isinstance(event, FoundArtifact))
best = Order.parse(["-customProperties.accuracy"]).first(found, 1, lambda one: one.fields)
print(json.dumps([time.perf_counter() - start, best[0].fields["customProperties"]["accuracy"]]))
"""
_OMLMD = """
import json, logging, sys, time
start = time.perf_counter()
from omlmd.helpers import Helper
logging.disable(logging.CRITICAL)
tags = json.load(sys.stdin)
found = json.loads(Helper().crawl(tags))
best = max(one["config"]["customProperties"]["accuracy"] for one in found)
print(json.dumps([time.perf_counter() - start, best]))
"""


@dataclass(frozen=True)
class _Run:
    """Seconds from a process's first import to its answer, and its largest memory in MB."""

    seconds: float
    peak: float


def _fill(repository: str, count: int) -> list[str]:
    """Push models whose accuracies are all different; the best is at a tag in the middle."""
    reference = Reference.parse(f"{repository}:v0")
    registries = Registries((f"http://{reference.registry}",), lambda _: None)

    def pushing(number: int) -> Callable[[object], str]:
        accuracy = 1 - abs(number - count // 2) / (count + 1)
        described = ModelMetadata.of({"name": f"model {number}", "author": "bench", "accuracy": accuracy})
        place = reference.with_tag(f"v{number}")
        return lambda _: str(push(registries, place, [Part(b"weights", "model.onnx")], described).reference)

    tags = in_parallel([pushing(number) for number in range(count)])
    registries.close()
    return tags


def _run(command: list[str], given: str, best: float) -> _Run:
    with tempfile.TemporaryFile("w+") as source, tempfile.TemporaryFile("w+") as errors:
        source.write(given)
        source.seek(0)
        with subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            output = process.stdout.read() if process.stdout else ""
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"{command[0]} failed: {errors.read().strip()[-500:]}")
    seconds, answer = json.loads(output.splitlines()[-1])
    if answer != best:
        raise RuntimeError(f"{command[-3:]} answers {answer}, and the best is {best}")
    return _Run(seconds, usage.ru_maxrss / 1024)


def _acts(folder: Path, repository: str, tags: list[str]) -> tuple[dict[str, Callable[[], _Run]], list[str]]:
    """Who takes part, and why others do not."""
    given, notes = json.dumps(tags), []

    def ours(act: str) -> Callable[[], _Run]:
        command = [sys.executable, "-c", _OURS, act, str(folder / "home"), repository]
        return lambda: _run(command, "", 1.0)

    acts = {"ours": ours("crawl"), "ours, unchanged since": ours("keep"), "ours, from the index": ours("kept")}
    try:
        python = str(peer_python("oci", "omlmd==0.1.6", "oras==0.2.43"))
        acts["omlmd"] = lambda: _run([python, "-c", _OMLMD], given, 1.0)
    except PeerUnavailableError as error:
        notes.append(f"omlmd is left out: {error}")
    return acts, notes


def _rows(taken: Mapping[str, list[_Run]]) -> list[Row]:
    seconds = {name: statistics.median(one.seconds for one in runs) for name, runs in taken.items()}
    peer = seconds.get("omlmd")
    return [
        {
            "who": name,
            "s": seconds[name],
            "peak MB": max(one.peak for one in runs),
            "times as fast as omlmd": peer / seconds[name] if peer else "-",
        }
        for name, runs in taken.items()
    ]


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--tags", "count", default=1000, help="How many tags the repository has.")
@click.option("--rounds", default=3, help="How often each does it.")
@click.pass_context
def main(context: click.Context, as_json: bool, count: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="fair-benchmark-") as name, running_registry(Path(name)) as registry:
        repository = f"{registry.address}/bench/crawl"
        note(f"pushing {count} tags …")
        tags = _fill(repository, count)
        acts, notes = _acts(Path(name), repository, tags)
        # The first crawl that keeps what it finds is not the one that is measured.
        acts["ours, unchanged since"]()
        taken: dict[str, list[_Run]] = {who: [] for who in acts}
        for turn in range(rounds):
            note(f"round {turn + 1} of {rounds} …")
            for who, act in acts.items():
                taken[who].append(act())
    rows = _rows(taken)
    budgets = [
        Budget(f"{count} tags, times as fast as omlmd", row["times as fast as omlmd"], _TIMES_FASTER, "at least")
        for row in rows
        if row["who"] == "ours" and "omlmd" in taken
    ]
    report = Report("oci_crawl", [Table(f"{count} tags, median of {rounds}", rows)], budgets, notes)
    context.exit(show(report, as_json=as_json))


if __name__ == "__main__":
    main()

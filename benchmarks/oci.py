"""Pushing models to a registry and pulling them, beside oras-py, omlmd and `skopeo copy`.

One registry (Debian's docker-registry) on loopback, the same random files for everybody, whole processes, taking turns.
Only skopeo and ours verify what they pull. Prints medians; exits with 1 when a budget is missed.
"""

import os
import random
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from benchmarks import oci_peers
from benchmarks.oci_peers import Act
from benchmarks.peers import PeerUnavailableError, peer_python
from benchmarks.report import Budget, Report, Row, Table, note, show
from scripts.local_services.home import Home
from scripts.local_services.servers import Registry
from scripts.local_services.supervisor import Supervisor

_MIB = 1 << 20
_MB = 1_000_000
_PEERS = ("omlmd==0.1.6", "oras==0.2.43")


@contextmanager
def running_registry(folder: Path) -> Iterator[Registry]:
    """A registry below ``folder`` that ends with the block."""
    supervisor = Supervisor(Home(folder / "services"), tied=True)
    try:
        supervisor.home.make()
        if lacking := supervisor.install(["registry"]):
            raise click.ClickException("; ".join(lacking.values()))
        supervisor.start("registry")
        found = supervisor.services["registry"]
        if not isinstance(found, Registry):
            raise TypeError("the service registry is no registry")
        yield found
    finally:
        for name in supervisor.services:
            supervisor.kill(name)


def _acts(folder: Path) -> tuple[dict[str, Act], list[str]]:
    """Who takes part, and why others do not."""
    acts, notes = {"ours": oci_peers.ours()}, []
    try:
        python = peer_python("oci", *_PEERS)
        acts |= {"oras-py": oci_peers.oras(python), "omlmd": oci_peers.omlmd(python)}
    except PeerUnavailableError as error:
        notes.append(f"oras-py and omlmd are left out: {error}")
    if skopeo := oci_peers.skopeo(folder):
        acts["skopeo"] = skopeo
    else:
        notes.append("skopeo is left out: apt install skopeo")
    return acts, notes


def _files(folder: Path, megabytes: int, count: int) -> list[Path]:
    generator = random.Random(megabytes * 100 + count)
    source = folder / f"source-{count}"
    source.mkdir()
    paths = [source / f"part-{number:02}.bin" for number in range(count)]
    for path in paths:
        with path.open("wb") as stream:
            left = megabytes * _MB // count
            while left:
                left -= stream.write(generator.randbytes(min(left, _MIB)))
    return paths


def _measured(
    acts: Mapping[str, Act], registry: Registry, folder: Path, files: list[Path], rounds: int
) -> dict[tuple[str, str], tuple[float, float]]:
    """Median seconds and largest memory in MB of each push and pull, by who and what."""
    taken: dict[tuple[str, str], list[oci_peers.Taken]] = {}
    names = [name for name in acts if name != "omlmd" or len(files) == 1]
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            target = f"{registry.address}/bench/{name}-{len(files)}-{turn}:v1"
            out = folder / "out"
            for what, paths in (("push", files), ("pull", [out])):
                _level(folder, sum(path.stat().st_size for path in files))
                taken.setdefault((name, what), []).append(acts[name](what, target, paths))
            # Nobody finds what another has pushed.
            for left in (out, registry.data / "docker"):
                shutil.rmtree(left, ignore_errors=True)
    return {
        key: (statistics.median(one.seconds for one in found), max(one.peak for one in found))
        for key, found in taken.items()
    }


def _level(folder: Path, size: int) -> None:
    """Give everybody the same machine: nothing left to write, and as much memory as it needs just set free.

    On a virtual machine a page that was never used costs several times what a used one does: who happened to get the
    first would seem to be the slower.
    """
    os.sync()
    scratch = folder / "scratch"
    with scratch.open("wb") as stream:
        block = bytes(_MIB)
        for _ in range(2 * size // _MIB):
            stream.write(block)
    scratch.unlink()


def _rows(count: int, size: int, found: Mapping[tuple[str, str], tuple[float, float]]) -> list[Row]:
    rows = []
    for what in ("push", "pull"):
        speeds = {name: size / seconds for (name, act), (seconds, _) in found.items() if act == what}
        row: Row = {"what": what, "files": count}
        row |= {f"{name} MB/s": speeds.get(name, "-") for name in ("ours", "oras-py", "omlmd", "skopeo")}
        row |= {"ours / skopeo": speeds["ours"] / speeds["skopeo"] if "skopeo" in speeds else "-"}
        row |= {f"{name} peak MB": found[name, what][1] for name in ("ours", "oras-py", "skopeo") if name in speeds}
        rows.append(row)
    return rows


def _budgets(rows: list[Row]) -> list[Budget]:
    budgets = [
        Budget(f"{row['what']} of {row['files']} files, ours / skopeo", row["ours / skopeo"], 1.0, "at least")
        for row in rows
        if row["ours / skopeo"] != "-"
    ]
    return budgets + [
        Budget(f"peak memory, {row['what']} of {row['files']} files", row["ours peak MB"], 150.0, unit="MB")
        for row in rows
    ]


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--megabytes", default=1000, help="Size of all files together.")
@click.option("--counts", default="1,20", help="Into how many files it is cut, separated by commas.")
@click.option("--rounds", default=3, help="How often each does it.")
@click.pass_context
def main(context: click.Context, as_json: bool, megabytes: int, counts: str, rounds: int) -> None:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="fair-benchmark-") as name:
        folder = Path(name)
        acts, notes = _acts(folder)
        with running_registry(folder) as registry:
            for count in (int(one) for one in counts.split(",")):
                note(f"{megabytes} MB in {count} files …")
                files = _files(folder, megabytes, count)
                rows += _rows(count, megabytes, _measured(acts, registry, folder, files, rounds))
                shutil.rmtree(files[0].parent)
    table = Table(f"{megabytes} MB, median of {rounds}", rows)
    context.exit(show(Report("oci", [table], _budgets(rows), [*_NOTES, *notes]), as_json=as_json))


_NOTES = (
    "Times of ours, oras-py and omlmd are without the start of Python; skopeo's are of the whole command.",
    "skopeo's files are hashed before its time begins; ours and the others hash theirs within.",
    "omlmd pushes one file only.",
)


if __name__ == "__main__":
    main()

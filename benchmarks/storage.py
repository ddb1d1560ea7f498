"""Copying artifacts to and from a bucket, against boto3's own transfer and ``rclone copy``, in one run.

    python -m benchmarks.storage [--json] [--sizes 100,300,1000] [--chips 1000] [--rounds 3]

Everybody talks to one ``rclone serve s3`` on this machine, which does most of the work. Ours hashes and verifies what
it copies, as publication needs it; the peers do what they do by default. Rounds alternate, the middle one counts.
Memory is that of a process that makes one copy and nothing else.
"""

import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from benchmarks.report import Budget, Report, Row, Table, note, show

_KEY, _SECRET = "benchmarkkey", "benchmarksecret"
_BUCKET = "models"
_MIB = 1 << 20
_CHIP = 50_000
_PEERS = ("ours", "boto3", "rclone")

_OURS = """
import sys, time, resource, json
from pathlib import Path
from fair_dagster.settings import Settings
from fair_dagster.storage.opening import open_artifacts
store = open_artifacts(Settings())
act, place, key = sys.argv[1:4]
start = time.perf_counter()
store.publish(Path(place), key) if act == "up" else store.fetch(key, Path(place))
seconds = time.perf_counter() - start
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""
_BOTO3 = """
import sys, time, resource, json, os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import boto3
from botocore.config import Config
client = boto3.client("s3", endpoint_url=os.environ["FAIR_S3_ENDPOINT"], region_name="us-east-1",
                      config=Config(s3={"addressing_style": "path"}, max_pool_connections=16))
act, place, key = sys.argv[1:4]
path = Path(place)
start = time.perf_counter()
if act == "up" and path.is_dir():
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: client.upload_file(str(one), "models", f"{key}/{one.name}"), sorted(path.iterdir())))
elif act == "up":
    client.upload_file(place, "models", key)
elif act == "down" and key.endswith("chips"):
    path.mkdir()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="models", Prefix=f"{key}/")
    keys = [one["Key"] for page in pages for one in page["Contents"]]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: client.download_file("models", one, str(path / one.rpartition("/")[2])), keys))
else:
    client.download_file("models", key, place)
seconds = time.perf_counter() - start
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


@contextmanager
def _server(folder: Path) -> Iterator[dict[str, str]]:
    """An S3 server on a free port; gives the environment of its clients."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{found.getsockname()[1]}"
    rclone = str(Path(sys.executable).with_name("rclone"))
    (folder / "data" / _BUCKET).mkdir(parents=True)
    (folder / "rclone.conf").touch()
    server = subprocess.Popen(
        [
            rclone,
            "--config",
            str(folder / "rclone.conf"),
            "serve",
            "s3",
            "--auth-key",
            f"{_KEY},{_SECRET}",
            "--addr",
            address,
            str(folder / "data"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await(address)
        yield os.environ | {
            "AWS_ACCESS_KEY_ID": _KEY,
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "FAIR_HOME": str(folder / "home"),
            "FAIR_ARTIFACTS": f"s3://{_BUCKET}/ours",
            "FAIR_S3_ENDPOINT": f"http://{address}",
            "FAIR_S3_PATH_STYLE": "true",
            "RCLONE_CONFIG": str(folder / "rclone.conf"),
            "RCLONE_CONFIG_R_TYPE": "s3",
            "RCLONE_CONFIG_R_PROVIDER": "Rclone",
            "RCLONE_CONFIG_R_ACCESS_KEY_ID": _KEY,
            "RCLONE_CONFIG_R_SECRET_ACCESS_KEY": _SECRET,
            "RCLONE_CONFIG_R_ENDPOINT": f"http://{address}",
        }  # fmt: skip
    finally:
        server.terminate()
        server.wait()


def _await(address: str) -> None:
    host, port = address.split(":")
    for _ in range(200):
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise click.ClickException(f"rclone serve s3 does not answer at {address}")


def _python(script: str) -> Callable[[Mapping[str, str], str, Path, str], tuple[float, float]]:
    def run(environment: Mapping[str, str], act: str, place: Path, key: str) -> tuple[float, float]:
        command = [sys.executable, "-c", script, act, str(place), key]
        done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
        if done.returncode:
            raise click.ClickException(done.stderr.strip().splitlines()[-1])
        seconds, memory = json.loads(done.stdout)
        return float(seconds), float(memory)

    return run


def _rclone(environment: Mapping[str, str], act: str, place: Path, key: str) -> tuple[float, float]:
    there = f"r:{_BUCKET}/{key}"
    verb = "copy" if key.endswith("chips") else "copyto"
    command = [str(Path(sys.executable).with_name("rclone")), verb, "--no-traverse", "--transfers", "8"]
    command += [str(place), there] if act == "up" else [there, str(place)]
    start = time.perf_counter()
    subprocess.run(command, env=dict(environment), check=True, capture_output=True)
    return time.perf_counter() - start, 0.0


_COPIES: dict[str, Callable[..., tuple[float, float]]] = {
    "ours": _python(_OURS),
    "boto3": _python(_BOTO3),
    "rclone": _rclone,
}


def _measured(environment: Mapping[str, str], source: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Median seconds of an upload and a download by each, and our peak memory in MB."""
    seconds: dict[tuple[str, str], list[float]] = {}
    memory: dict[str, float] = {}
    for turn in range(rounds):
        for who in _PEERS[turn % 3 :] + _PEERS[: turn % 3]:
            key = f"{who}-{turn}/{source.name}"
            target = folder / "copy"
            for act, place in (("up", source), ("down", target)):
                taken, peak = _COPIES[who](environment, act, place, key)
                seconds.setdefault((who, act), []).append(taken)
                memory[act] = max(memory.get(act, 0.0), peak) if who == "ours" else memory.get(act, 0.0)
            _remove(target)
            shutil.rmtree(folder / "data" / _BUCKET / f"{who}-{turn}", ignore_errors=True)
            shutil.rmtree(folder / "data" / _BUCKET / "ours" / f"{who}-{turn}", ignore_errors=True)
    return {"seconds": {key: statistics.median(taken) for key, taken in seconds.items()}, "memory": memory}


def _row(what: str, act: str, size: float, found: Mapping[str, Any]) -> Row:
    speeds = {who: size / found["seconds"][who, act] for who in _PEERS}
    return {
        "what": what,
        "direction": act,
        **{f"{who} MB/s": speed for who, speed in speeds.items()},
        "ours / boto3": speeds["ours"] / speeds["boto3"],
        "ours / rclone": speeds["ours"] / speeds["rclone"],
        "peak MB": found["memory"][act],
    }


def _file(folder: Path, megabytes: int) -> Path:
    path = folder / f"model-{megabytes}.onnx"
    generator = random.Random(megabytes)
    with path.open("wb") as stream:
        for _ in range(megabytes):
            stream.write(generator.randbytes(_MIB))
    return path


def _chips(folder: Path, count: int) -> Path:
    chips = folder / "chips"
    chips.mkdir()
    generator = random.Random(count)
    for number in range(count):
        (chips / f"{number}.tif").write_bytes(generator.randbytes(_CHIP))
    return chips


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--sizes", default="100,300,1000", help="Sizes of one file in MiB, separated by commas.")
@click.option("--chips", default=1000, help="So many files of 50 kB; 0 leaves them out.")
@click.option("--rounds", default=3, help="How often each copy is made.")
@click.pass_context
def main(context: click.Context, as_json: bool, sizes: str, chips: int, rounds: int) -> None:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="fair-benchmark-") as name:
        folder = Path(name)
        with _server(folder) as environment:
            for megabytes in sorted(int(size) for size in sizes.split(",")):
                note(f"copying {megabytes} MiB …")
                source = _file(folder, megabytes)
                found = _measured(environment, source, folder, rounds)
                rows += [_row(f"{megabytes} MiB", act, megabytes, found) for act in ("up", "down")]
                source.unlink()
            if chips:
                note(f"copying {chips} chips …")
                found = _measured(environment, _chips(folder, chips), folder, rounds)
                size = chips * _CHIP / _MIB
                rows += [_row(f"{chips:,} x 50 kB", act, size, found) for act in ("up", "down")]
    context.exit(show(Report("storage", [Table("Copies, MiB/s", rows)], _budgets(rows), _NOTES), as_json=as_json))


_NOTES = (
    "Ours returns when what arrived has been compared with what was read; boto3 compares nothing after a download.",
    "An upload of ours hashes by SHA-256 and MD5, and the server by MD5 twice: boto3 asks neither for that.",
    "The peak of ours holds about 120 MB of imported libraries, dagster-aws with Dagster among them.",
)


def _budgets(rows: list[Row]) -> list[Budget]:
    large = [row for row in rows if row["what"] == "1000 MiB"]
    speed = [
        Budget(f"{row['direction']} of 1 GB, {ratio}", row[ratio], 0.8, "at least")
        for row in large
        for ratio in ("ours / rclone", "ours / boto3")
    ]
    return speed + [
        Budget(f"peak memory, {row['direction']} of {row['what']}", row["peak MB"], 150.0, unit="MB") for row in rows
    ]


if __name__ == "__main__":
    main()

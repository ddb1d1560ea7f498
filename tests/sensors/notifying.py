"""A real registry that posts notifications to an address: Debian's, with a configuration of its own."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.services.servers import unavailable

_SECONDS = 20


@contextmanager
def notifying_registry(folder: Path, url: str, secret: str) -> Iterator[str]:
    """Run a registry that tells ``url`` of pushes; gives host and port."""
    program = shutil.which("docker-registry")
    if program is None:
        unavailable("docker-registry is not installed (Debian: docker-registry)")
    folder.mkdir(parents=True)
    port = _free_port()
    endpoint = {
        "name": "fair",
        "url": url,
        "headers": {"Authorization": [f"Bearer {secret}"]},
        "timeout": "2s",
        "threshold": 3,
        "backoff": "100ms",
    }
    config = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "notifications": {"endpoints": [endpoint]},
    }
    # JSON is YAML.
    (folder / "registry.yml").write_text(json.dumps(config))
    environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), "serve", str(folder / "registry.yml")], stdout=log, stderr=log, env=environment
        )
    try:
        _wait(f"http://127.0.0.1:{port}/v2/", process, folder / "log")
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(url, trust_env=False).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.02)
    raise AssertionError(log.read_text())

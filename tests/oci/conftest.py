"""Debian's registry, with and without a password, and fakes."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.oci.servers import Fake, Script, fake_registry

USER, PASSWORD = "reader", "s3cret"


@dataclass(frozen=True)
class Registry:
    """A running ``docker-registry``."""

    host: str

    @property
    def url(self) -> str:
        return f"http://{self.host}"


def _start(folder: Path, auth: str = "") -> Iterator[Registry]:
    program = shutil.which("docker-registry")
    if program is None:
        message = "docker-registry is not there: install Debian's package docker-registry"
        if os.environ.get("FAIR_REQUIRE_SERVICES") == "1":
            pytest.fail(message)
        pytest.skip(message)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '{host}'}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}, delete: {{enabled: true}}}}\n{auth}"
    )
    process = subprocess.Popen([program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                httpx.get(f"http://{host}/v2/", trust_env=False)
                break
            except httpx.TransportError:
                assert process.poll() is None, "docker-registry ended"
                time.sleep(0.05)
        yield Registry(host)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Takes pushes and pulls of anybody."""
    yield from _start(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="session")
def closed_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Wants ``USER`` and ``PASSWORD``."""
    import bcrypt

    folder = tmp_path_factory.mktemp("closed-registry")
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (folder / "htpasswd").write_text(f"{USER}:{hashed}\n")
    yield from _start(folder, f"auth: {{htpasswd: {{realm: test, path: {folder / 'htpasswd'}}}}}\n")


@pytest.fixture
def fake() -> Iterator[Fake]:
    with ExitStack() as stack:

        def start(**script: Any) -> tuple[str, Script]:
            made = Script(**script)
            return stack.enter_context(fake_registry(made)), made

        yield start

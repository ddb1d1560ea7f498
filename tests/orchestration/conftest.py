"""A PostgreSQL for Dagster's own storage, as a team has it."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def postgres() -> Iterator[dict[str, str]]:
    """The environment of a PostgreSQL of our own, with an empty database."""
    pytest.importorskip("dagster_postgres", reason="the extra `team` is not installed")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL's server is not installed")
    # PostgreSQL refuses to run as root.
    root = os.getuid() == 0
    if root and subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    user: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if root else {}
    # Not pytest's folder, which is closed to other users.
    with tempfile.TemporaryDirectory() as name, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
        probe.close()
        folder, tools = Path(name), found[-1].parent
        if root:
            shutil.chown(folder, "postgres")
        data = folder / "data"
        initdb = [tools / "initdb", "-D", data, "-A", "trust", "-U", "fair", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=name, **user)
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        server = subprocess.Popen(
            [tools / "postgres", "-D", data, "-p", port, "-k", name, *options],
            cwd=name,
            stderr=subprocess.DEVNULL,
            **user,
        )
        try:
            createdb = [tools / "createdb", "-h", "127.0.0.1", "-p", port, "-U", "fair", "dagster"]
            while subprocess.run(createdb, capture_output=True, check=False).returncode:
                assert server.poll() is None
                time.sleep(0.1)
            names = {"HOST": "127.0.0.1", "PORT": port, "USER": "fair", "PASSWORD": "unused", "DB": "dagster"}
            yield {f"DAGSTER_PG_{name}": value for name, value in names.items()}
        finally:
            server.send_signal(signal.SIGQUIT)
            server.wait()

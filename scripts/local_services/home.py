"""The folder of one set of servers: ports, passwords, data, logs and process numbers. Nothing here starts a process.

services/env               to be sourced; 0600
services/state.json        ports and passwords; 0600
services/data/<server>/    what the server keeps
services/logs/<server>.log
services/run/<server>.pid
"""

import json
import os
import random
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fair_dagster.domain.errors import ServiceError
from fair_dagster.net.processes import Process

HOST = "127.0.0.1"
_PORTS = range(20_000, 32_000)
"""Below the range from which systems take the ports of outgoing connections: a stopped server's stays free."""
_LOG_BYTES = 20_000_000
_PATIENCE = 2.0
"""Seconds for which nobody is told that they wait."""


class Home:
    """Where a set of servers lives. Threads may share it; processes take turns by ``turn``."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self._writing = threading.Lock()

    @contextmanager
    def turn(self, report: Callable[[str], None]) -> Iterator[None]:
        """Held while servers are started or stopped; says so when another process has it."""
        lock = FileLock(self.path / "lock")
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            report("another 'scripts/services' is at work in this home; waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @property
    def env_file(self) -> Path:
        return self.path / "env"

    def make(self) -> None:
        """Create the folders. Servers that run under another user must be able to enter them, whatever the umask."""
        for folder in (self.path, self.path / "data", self.path / "logs", self.path / "run"):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755)

    def data(self, name: str) -> Path:
        return self.path / "data" / name

    def log(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.log"

    def turn_log(self, name: str) -> None:
        """Keep one former log when the present one has grown large."""
        log = self.log(name)
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))

    def log_tail(self, name: str, lines: int = 15) -> str:
        """The end of a server's log, without the passwords that are known here."""
        try:
            text = self.log(name).read_text(errors="replace")[-20_000:]
        except OSError:
            return ""
        for secret in self._secrets():
            text = text.replace(secret, "***")
        return "\n".join(text.splitlines()[-lines:])

    # Ports and passwords

    def port(self, name: str) -> int:
        """The port of a server: chosen once, at random among the free ones, so that several homes do not meet."""
        found = self._read().get(name, {}).get("port")
        return int(found) if found else self.new_port(name)

    def new_port(self, name: str) -> int:
        """Give a server another port, because its own was taken by somebody else meanwhile."""
        port = free_port()
        self._write(name, "port", str(port))
        return port

    def secret(self, name: str, key: str, value: str = "") -> str:
        """A password of a server, made up when first asked for; with ``value`` it is set."""
        found = self.kept(name, key)
        if value or not found:
            found = value or secrets.token_hex(20)
            self._write(name, key, found)
        return found

    def kept(self, name: str, key: str) -> str:
        """A password if there is one, else an empty string."""
        return str(self._read().get(name, {}).get(key, ""))

    def _secrets(self) -> list[str]:
        return [value for server in self._read().values() for key, value in server.items() if key != "port"]

    def _read(self) -> dict[str, dict[str, str]]:
        state = self.path / "state.json"
        try:
            loaded = json.loads(state.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ServiceError(
                f"the ports and passwords of the servers cannot be read: {state}: {error}. Restore the file, or stop "
                f"the servers and remove {self.path} to begin anew without their data"
            ) from None
        return loaded if isinstance(loaded, dict) else {}

    def _write(self, name: str, key: str, value: str) -> None:
        with self._writing:
            state = self._read()
            state.setdefault(name, {})[key] = value
            write_private(self.path / "state.json", json.dumps(state, indent=2))

    # Processes

    def process(self, name: str) -> Process | None:
        """The process that was started last for a server and has not been stopped; it may have died since."""
        try:
            return Process.parse((self.path / "run" / f"{name}.pid").read_text().partition(" ")[0].strip())
        except OSError:
            return None

    def note(self, name: str) -> str:
        """What was noted beside the process of a server."""
        try:
            return (self.path / "run" / f"{name}.pid").read_text().partition(" ")[2].strip()
        except OSError:
            return ""

    def note_process(self, name: str, process: Process | None, note: str = "") -> None:
        """Remember the process of a server, or that it has none."""
        path = self.path / "run" / f"{name}.pid"
        if process is None:
            path.unlink(missing_ok=True)
            return
        new = path.with_suffix(".new")
        new.write_text(f"{process} {note}\n")
        new.replace(path)


def free_port() -> int:
    """A port that nobody listens at on the loopback address.

    Raises:
        ServiceError: a hundred were tried.
    """
    for port in random.sample(_PORTS, 100):
        if is_free(port):
            return port
    raise ServiceError(f"no free port was found between {_PORTS.start} and {_PORTS.stop} on {HOST}: stop some servers")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def write_private(path: Path, text: str) -> None:
    """Replace a file whole, readable by its owner only, from its first byte on."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    new.replace(path)

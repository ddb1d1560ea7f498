"""The endpoint that registries post notifications to: a small server that keeps them in the inbox, and does no more.

Who may post knows the secret. What becomes of a notification is decided by who reads the inbox.
"""

import hmac
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from fair_dagster.domain.errors import RefusedError, StorageError
from fair_dagster.oci.notifications.inbox import Inbox
from fair_dagster.oci.notifications.pushes import Push, pushes_in

PATH = "/notifications"
HEALTH = "/healthz"
_MOST_BYTES = 1 << 20
_SECONDS = 10


class Listener(ThreadingHTTPServer):
    """Serves ``POST /notifications`` and ``GET /healthz``; bound when it is made.

    Args:
        secret: what the header ``Authorization`` has to say after ``Bearer``.

    Raises:
        StorageError: the address cannot be listened on.
    """

    daemon_threads = True

    def __init__(self, host: str, port: int, secret: str, inbox: Inbox) -> None:
        self.secret = secret
        self.inbox = inbox
        self._host = host
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise StorageError(f"{host}:{port} cannot be listened on: {error.strerror or error}") from error

    @property
    def url(self) -> str:
        """Where registries post to."""
        return f"http://{self._host}:{self.server_address[1]}{PATH}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle concerns nobody."""


class _Handler(BaseHTTPRequestHandler):
    server: Listener
    timeout: ClassVar[int] = _SECONDS
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(200 if self.path == HEALTH else 404, "ok" if self.path == HEALTH else "no such page")

    def do_POST(self) -> None:
        self._answer(*self._taken())

    def _taken(self) -> tuple[int, str]:
        """Keep what was posted; the status and why."""
        if self.path != PATH:
            return 404, f"post to {PATH}"
        told = self.headers.get("Authorization", "")
        if not hmac.compare_digest(told.encode(), f"Bearer {self.server.secret}".encode()):
            return 401, "the Authorization header is not the one that was agreed on"
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_BYTES:
            return 413, f"Content-Length must say how many bytes come, at most {_MOST_BYTES}"
        try:
            pushes = pushes_in(self.rfile.read(int(length)))
        except ValueError as error:
            return 400, f"no notification of a registry: {error}"
        return self._kept(pushes)

    def _kept(self, pushes: list[Push]) -> tuple[int, str]:
        try:
            for push in pushes:
                self.server.inbox.put(push)
        except (RefusedError, StorageError) as error:
            # A registry posts it again until it is taken.
            return 503, str(error)
        return 202, f"{len(pushes)} pushes kept"

    def _answer(self, status: int, said: str) -> None:
        body = json.dumps({"message": said}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status >= 400:
            # What was sent may not have been read to its end; the client has to know, lest it sends more behind it.
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """The sensor's ticks tell what came of a notification."""

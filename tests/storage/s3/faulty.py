"""A proxy before an S3 server that can be told to misbehave: the network and the servers of a bad day."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class FaultyProxy(ThreadingHTTPServer):
    """Hands requests on to ``target``.

    Attributes:
        failing: answer 503 as long as it is set.
        damage_sent, damage_received: flip a bit in bodies that are this long or longer, of requests or answers.
        cut: break off so many answers with a long body in their middle.
        denied: answer 403 where the path ends with it.
        hold: answer nothing as long as it is set.
        slow_to_keep: seconds before the answer to each PUT.
        requests: method and path of each request.
    """

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target).netloc
        self.failing = threading.Event()
        self.hold = threading.Event()
        self.damage_sent = self.damage_received = 0
        self.cut = 0
        self.denied = ""
        self.slow_to_keep = 0.0
        self.requests: list[str] = []
        self.failed = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that a client gave up are no news here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def _serve(self) -> None:
        proxy = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy.requests.append(f"{self.command} {self.path}")
        if proxy.hold.is_set():
            threading.Event().wait(30)
        if proxy.failing.is_set():
            proxy.failed += 1
            return self._answer(503, {}, b"")
        if proxy.denied and self.path.split("?")[0].endswith(proxy.denied):
            return self._answer(403, {}, b"")
        if proxy.damage_sent and len(body) >= proxy.damage_sent:
            body = _damaged(body)
        connection = http.client.HTTPConnection(proxy.target, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        content = response.read()
        if proxy.damage_received and len(content) >= proxy.damage_received:
            content = _damaged(content)
        kept = {name: value for name, value in response.getheaders() if name.lower() not in _PER_HOP}
        connection.close()
        if self.command == "PUT":
            threading.Event().wait(proxy.slow_to_keep)
        return self._answer(response.status, kept, content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name in headers):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if len(content) > 100_000 and self.server.cut > 0:
            self.server.cut -= 1
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

    def log_message(self, format: str, *args: Any) -> None:
        pass


_PER_HOP = frozenset({"transfer-encoding", "connection", "date", "server", "keep-alive"})


def _damaged(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@contextmanager
def faulty_proxy(target: str) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(target)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.failing.clear()
        proxy.hold.clear()
        proxy.shutdown()
        proxy.server_close()

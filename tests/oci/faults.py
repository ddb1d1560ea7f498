"""A registry that misbehaves: a proxy before a real one, which follows a test's orders."""

import http.client
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast
from urllib.parse import urlsplit

_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})


@dataclass
class Order:
    """What to do with requests whose line (``GET /v2/…``) holds ``match``; so many ``times``.

    Attributes:
        status: answer with this instead of asking the registry.
        cut: send so many bytes of the body, and close.
        alter: change the body.
        drop: close without an answer, after the registry has been asked.
    """

    match: str
    times: int = 1
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int = -1
    alter: Callable[[bytes], bytes] | None = None
    drop: bool = False
    set_headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Faults:
    """The orders of a test, and what came."""

    upstream: str
    orders: list[Order] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    without_ranges: bool = False
    secured: bool = False
    """Whether a request needs one of ``tokens``, to which each that is asked for is added."""
    tokens: set[str] = field(default_factory=set)

    def count(self, text: str) -> int:
        return sum(text in line for line in self.seen)


class _Server(ThreadingHTTPServer):
    faults: Faults


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    _lock = threading.Lock()

    @property
    def faults(self) -> Faults:
        return cast(_Server, self.server).faults

    def _any(self) -> None:
        faults, line = self.faults, f"{self.command} {self.path}"
        faults.seen.append(line)
        faults.authorizations.append(self.headers.get("authorization", ""))
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path.startswith("/token"):
            token = f"token-{len(faults.seen)}"
            faults.tokens.add(token)
            self._answer(200, {"Content-Type": "application/json"}, f'{{"token": "{token}"}}'.encode())
            return
        if faults.secured and not self._is_known():
            realm = f"http://{self.headers['host']}/token"
            self._answer(401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="fake"'}, b"{}")
            return
        with self._lock:
            order = next((one for one in faults.orders if one.times > 0 and one.match in line), None)
            if order is not None:
                order.times -= 1
        if order is not None and order.status:
            self._answer(order.status, order.headers, order.body)
            return
        self._forward(order, body)

    def _is_known(self) -> bool:
        return self.headers.get("authorization", "").removeprefix("Bearer ") in self.faults.tokens

    def _forward(self, order: Order | None, body: bytes) -> None:
        faults = self.faults
        given = {name: value for name, value in self.headers.items() if name.lower() not in _HOP | {"authorization"}}
        if wanted := given.get("Range"):
            faults.ranges.append(wanted)
            if faults.without_ranges:
                del given["Range"]
        upstream = http.client.HTTPConnection(faults.upstream, timeout=30)
        # Its own locations lead back to the proxy.
        upstream.request(self.command, self.path, body, {**given, "Host": self.headers["host"]})
        answer = upstream.getresponse()
        content = answer.read()
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
        length = answer.headers.get("content-length", str(len(content)))
        upstream.close()
        if order is not None and order.drop:
            self.close_connection = True
            return
        if order is not None and order.alter is not None:
            content = order.alter(content)
            length = str(len(content))
        headers |= order.set_headers if order is not None else {}
        self._answer(answer.status, headers, content, length, order.cut if order is not None else -1)

    def _answer(self, status: int, headers: dict[str, str], body: bytes, length: str = "", cut: int = -1) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if cut < 0 else body[:cut])
        if cut >= 0:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def faulty_registry(upstream: str, tls: ssl.SSLContext | None = None) -> Iterator[tuple[str, Faults]]:
    """``host:port`` of a proxy before the registry at the URL ``upstream``, and its orders."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.faults = Faults(urlsplit(upstream).netloc)
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield f"127.0.0.1:{server.server_port}", server.faults
        finally:
            server.shutdown()

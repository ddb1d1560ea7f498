"""HTTP to one server at an address that was looked at: urllib3's pools, each pinned to an address.

A name is resolved and judged by the caller, once for each pool, and every connection of the pool goes to that address;
TLS and the ``Host`` header go on naming the server by its name. So a name cannot point at a public address when it is
checked and at a private one when it is used. Which servers may be asked belongs to ``fetching`` and to registries'
``connections``. Bodies are streamed; nothing is retried and no redirect followed.

See docs/decisions/0049.
"""

import http.client
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from fair_dagster.domain.errors import ServiceError, UnreachableError

_BLOCK = 1 << 20
_KEPT = 8
"""Idle connections to a server."""
_PINNED_SECONDS = 60.0
"""How long new connections go to an address before the name is resolved again."""


@dataclass(frozen=True)
class Server:
    """A server as a URL names it; ``port`` is always given."""

    scheme: str
    host: str
    port: int

    @property
    def netloc(self) -> str:
        default = 443 if self.scheme == "https" else 80
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == default else f"{host}:{self.port}"


@dataclass(frozen=True)
class FileBody:
    """``length`` bytes of an open file from its start. ``sent`` is called with the bytes that have gone since."""

    descriptor: int
    length: int
    sent: Callable[[int], None] = lambda _: None

    def __iter__(self) -> Iterator[memoryview]:
        block, position = memoryview(bytearray(_BLOCK)), 0
        while position < self.length:
            count = os.preadv(self.descriptor, [block[: self.length - position]], position)
            if not count:
                raise ConnectionAbortedError("the file became shorter while it was sent")
            yield block[:count]
            position += count
            self.sent(count)


@dataclass(frozen=True)
class PipeBody:
    """``length`` bytes that ``fill`` puts into a buffer, as ``Stream.readinto`` does."""

    length: int
    fill: Callable[[memoryview], int]

    def __iter__(self) -> Iterator[memoryview]:
        block, left = memoryview(bytearray(_BLOCK)), self.length
        while left:
            count = self.fill(block[: min(left, _BLOCK)])
            if not count:
                raise ConnectionAbortedError("what was to be sent ended too early")
            yield block[:count]
            left -= count


Body = bytes | FileBody | PipeBody


@dataclass(frozen=True)
class Request:
    """One request. ``target`` is path and query; ``seconds`` is how long the server may be silent."""

    method: str
    server: Server
    target: str
    headers: Mapping[str, str]
    body: Body | None
    seconds: float


class Stream(Protocol):
    """An answer whose body has not been read yet. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]

    def readinto(self, buffer: memoryview) -> int:
        """Fill ``buffer`` as far as the body goes; 0 at its end.

        Raises:
            UnreachableError: the connection broke, or the body was cut short.
        """
        ...


class Answered:
    """A ``Stream`` of urllib3."""

    def __init__(self, server: Server, response: urllib3.BaseHTTPResponse) -> None:
        self.status = response.status
        # Several of one name are joined, as RFC 9110 says.
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self._server, self._response = server, response

    def readinto(self, buffer: memoryview) -> int:
        with _errors(self._server):
            return self._response.readinto(buffer)

    def arriving(self, size: int = _BLOCK) -> Iterator[bytes]:
        """The body in blocks as they come: a server that drips is noticed at each drop. Errors as ``readinto``."""
        with _errors(self._server):
            while block := self._response.read1(size):
                yield block


@dataclass(frozen=True)
class _Pinned:
    pool: urllib3.HTTPConnectionPool
    until: float
    """By ``time.monotonic``."""


class Pools:
    """Connections that wait for the next request to their server. May be used by several threads."""

    def __init__(self) -> None:
        self._pinned: dict[Server, _Pinned] = {}
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._tls: ssl.SSLContext | None = None

    @contextmanager
    def exchange(self, request: Request, address: Callable[[], str]) -> Iterator[Answered]:
        """Send a request and give the answer to read; the connection is kept when all of it was read.

        Args:
            address: where new connections go; it is asked from time to time.

        Raises:
            UnreachableError: no answer came.
            ServiceError: the target or a header cannot be sent.
        """
        server = request.server
        pool = self._pool(server, address)
        try:
            with _errors(server):
                response = _ask(pool, request)
        except UnreachableError:
            # Its address may have changed.
            self._forget(server, pool)
            raise
        try:
            yield Answered(server, response)
        finally:
            # What was not read to its end cannot be used for another answer.
            response.close()
            response.release_conn()

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            pinned, self._pinned = self._pinned, {}
        for one in pinned.values():
            one.pool.close()

    def _pool(self, server: Server, address: Callable[[], str]) -> urllib3.HTTPConnectionPool:
        now = time.monotonic()
        with self._lock:
            if self._process != os.getpid():
                # A forked process has its parent's connections: two would talk on one.
                self._process, self._pinned = os.getpid(), {}
            found = self._pinned.get(server)
        if found is not None and now < found.until:
            return found.pool
        host = address()
        pool = found.pool if found is not None and found.pool.host == host else self._opened(server, host)
        with self._lock:
            self._pinned[server] = _Pinned(pool, now + _PINNED_SECONDS)
        return pool

    def _opened(self, server: Server, address: str) -> urllib3.HTTPConnectionPool:
        options: dict[str, Any] = {"port": server.port, "maxsize": _KEPT}
        if server.scheme == "http":
            pool = urllib3.HTTPConnectionPool(address, **options)
            pool.ConnectionCls = _Connection
            return pool
        secure = urllib3.HTTPSConnectionPool(
            address, ssl_context=self._context(), server_hostname=server.host, **options
        )
        secure.ConnectionCls = _SecureConnection
        return secure

    def _forget(self, server: Server, pool: urllib3.HTTPConnectionPool) -> None:
        with self._lock:
            found = self._pinned.get(server)
            if found is not None and found.pool is pool:
                del self._pinned[server]

    def _context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                import certifi

                # The machine's authorities, which a private registry's may be among, and the public ones.
                self._tls = ssl.create_default_context()
                self._tls.load_verify_locations(certifi.where())
            return self._tls


class _Patient:
    """Gives a kept connection the patience of its next request, also while that is being sent."""

    sock: Any
    timeout: Any

    def request(self, *arguments: Any, **options: Any) -> None:
        if self.sock is not None:
            self.sock.settimeout(self.timeout)
        super().request(*arguments, **options)  # type: ignore[misc]


class _Connection(_Patient, HTTPConnection): ...


class _SecureConnection(_Patient, HTTPSConnection): ...


def _ask(pool: urllib3.HTTPConnectionPool, request: Request) -> urllib3.BaseHTTPResponse:
    body = request.body
    headers = {"Host": request.server.netloc, **request.headers}
    if body is not None or request.method in {"POST", "PUT", "PATCH"}:
        headers["Content-Length"] = str(body.length if isinstance(body, FileBody | PipeBody) else len(body or b""))
    if not (request.target.isascii() and request.target.isprintable() and " " not in request.target):
        raise ServiceError(f"{request.server.netloc} was to be asked for an address that cannot be sent")
    try:
        return pool.urlopen(
            request.method,
            request.target,
            body,  # type: ignore[arg-type]  # Any iterable of buffers is sent, block by block.
            headers,
            retries=False,
            timeout=request.seconds,
            preload_content=False,
            decode_content=False,
        )
    except ValueError as error:
        raise ServiceError(f"{request.server.netloc} was to be sent a header that cannot be sent: {error}") from error


@contextmanager
def _errors(server: Server) -> Iterator[None]:
    try:
        yield
    except UnreachableError:
        raise
    except (OSError, urllib3.exceptions.HTTPError) as error:
        # urllib3's own words name its objects; what it was raised for says it shorter.
        cause = error.__cause__ or error.__context__ or error
        if isinstance(cause, http.client.IncompleteRead):
            raise UnreachableError(f"{server.netloc} breaks off in the middle of its answer") from error
        raise UnreachableError(f"{server.netloc} does not answer ({cause or type(cause).__name__})") from error

"""HTTP to one server at an address that was looked at: connections that are kept, bodies that are streamed.

On the standard library's client: what a registry moves is large, and blocks go from file to socket, or from socket to
buffer, without a copy between. Whom to talk to, and how often, belongs to ``connections``.
"""

import http.client
import os
import select
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from fair_dagster.domain.errors import ServiceError, UnreachableError

_BLOCK = 1 << 20
_SENT_AT_ONCE = 8 << 20
_KEPT = 8
"""Idle connections to a server."""


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
    """``length`` bytes of an open file from ``offset`` on. ``sent`` is told how many have gone, block by block."""

    descriptor: int
    offset: int
    length: int
    sent: Callable[[int], None] = lambda _: None


@dataclass(frozen=True)
class PipeBody:
    """``length`` bytes that ``fill`` puts into a buffer, as ``Stream.readinto`` does."""

    length: int
    fill: Callable[[memoryview], int]


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


class _Stream:
    def __init__(self, server: Server, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        # Several of one name are joined, as RFC 9110 says.
        names = {name.lower() for name, _ in response.getheaders()}
        self.headers: Mapping[str, str] = {name: ", ".join(response.headers.get_all(name) or ()) for name in names}
        self._server, self._response = server, response

    def readinto(self, buffer: memoryview) -> int:
        try:
            count = self._response.readinto(buffer)
            if not count and self._response.length:
                raise UnreachableError(f"{self._server.netloc} breaks off in the middle of its answer")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _unreachable(self._server, error) from error
        return count


class _Connection(http.client.HTTPConnection):
    """Goes to ``address``, whatever the name of the server resolves to by now."""

    def __init__(self, server: Server, address: str, seconds: float, tls: ssl.SSLContext | None) -> None:
        super().__init__(server.host, server.port, timeout=seconds)
        self._address, self._tls = address, tls

    def connect(self) -> None:
        made = socket.create_connection((self._address, self.port), self.timeout)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.sock = made if self._tls is None else self._tls.wrap_socket(made, server_hostname=self.host)
        except BaseException:
            made.close()
            raise

    def renew(self, seconds: float) -> None:
        """Take another patience for the next request."""
        self.timeout = seconds
        if self.sock is not None:
            self.sock.settimeout(seconds)

    @property
    def is_stale(self) -> bool:
        """Whether the server has closed it, or said something that nobody asked for."""
        return self.sock is None or bool(select.select([self.sock], [], [], 0)[0])


class Pool:
    """Connections that wait for the next request to their server. May be used by several threads."""

    def __init__(self) -> None:
        self._idle: dict[Server, deque[_Connection]] = {}
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._tls: ssl.SSLContext | None = None

    @contextmanager
    def exchange(self, request: Request, address: Callable[[], str]) -> Iterator[Stream]:
        """Send a request and give the answer to read; the connection is kept when all of it was read.

        Args:
            address: where a new connection goes.

        Raises:
            UnreachableError: no answer came.
            ServiceError: the target or a header cannot be sent.
        """
        connection, response = self._answered(request, address)
        try:
            yield _Stream(request.server, response)
        finally:
            is_kept = response.isclosed() and connection.sock is not None
            response.close()
            if is_kept:
                self._give(request.server, connection)
            else:
                connection.close()

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def _answered(self, request: Request, address: Callable[[], str]) -> tuple[_Connection, http.client.HTTPResponse]:
        server = request.server
        kept = self._take(server)
        if kept is not None:
            kept.renew(request.seconds)
            try:
                return kept, _ask(kept, request)
            except UnreachableError as error:
                # A server may close a connection in the moment in which it is used again: that says nothing of the
                # server. A part of a file may have arrived, though: whoever sends it has to ask.
                if isinstance(request.body, FileBody | PipeBody) or isinstance(error.__cause__, TimeoutError):
                    raise
        made = _Connection(server, address(), request.seconds, self._context() if server.scheme == "https" else None)
        return made, _ask(made, request)

    def _take(self, server: Server) -> _Connection | None:
        while True:
            with self._lock:
                if self._process != os.getpid():
                    # A forked process has its parent's connections: two would talk on one. They are not its to close.
                    self._process, self._idle = os.getpid(), {}
                idle = self._idle.get(server)
                if not idle:
                    return None
                connection = idle.pop()
            if not connection.is_stale:
                return connection
            connection.close()

    def _give(self, server: Server, connection: _Connection) -> None:
        with self._lock:
            idle = self._idle.setdefault(server, deque())
            if len(idle) < _KEPT:
                idle.append(connection)
                return
        connection.close()

    def _context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                import certifi

                # The machine's authorities, which a private registry's may be among, and the public ones.
                self._tls = ssl.create_default_context()
                self._tls.load_verify_locations(certifi.where())
            return self._tls


def _ask(connection: _Connection, request: Request) -> http.client.HTTPResponse:
    server, body = request.server, request.body
    try:
        connection.putrequest(request.method, request.target, skip_accept_encoding=True)
        for name, value in request.headers.items():
            connection.putheader(name, value)
        length = len(body or b"") if body is None or isinstance(body, bytes) else body.length
        if body is not None or request.method in {"POST", "PUT", "PATCH"}:
            connection.putheader("Content-Length", str(length))
        connection.endheaders()
        if length and body is not None:
            _send(connection, body)
        return connection.getresponse()
    except (http.client.InvalidURL, UnicodeError) as error:
        connection.close()
        raise ServiceError(f"{server.netloc} was to be asked for an address that cannot be sent: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise _unreachable(server, error) from error
    except BaseException:
        connection.close()
        raise


def _send(connection: _Connection, body: Body) -> None:
    try:
        if isinstance(body, bytes):
            connection.send(body)
        elif isinstance(body, PipeBody):
            _send_pipe(connection.sock, body)
        else:
            _send_file(connection.sock, body)
    except (BrokenPipeError, ConnectionResetError):
        # A server that refuses need not listen to the end: its answer is what counts, if there is one.
        if connection.sock is None:
            raise


def _send_file(to: socket.socket, body: FileBody) -> None:
    position, end = body.offset, body.offset + body.length
    with os.fdopen(os.dup(body.descriptor), "rb", buffering=0) as stream:
        while position < end:
            wanted = min(_SENT_AT_ONCE, end - position)
            count = (
                _encrypted(to, body.descriptor, position, wanted)
                if isinstance(to, ssl.SSLSocket)
                else to.sendfile(stream, position, wanted)
            )
            if not count:
                raise ConnectionAbortedError("the file became shorter while it was sent")
            position += count
            body.sent(count)


def _send_pipe(to: socket.socket, body: PipeBody) -> None:
    block, left = memoryview(bytearray(_BLOCK)), body.length
    while left:
        count = body.fill(block[: min(left, _BLOCK)])
        if not count:
            raise ConnectionAbortedError("what was to be sent ended too early")
        to.sendall(block[:count])
        left -= count


def _encrypted(to: ssl.SSLSocket, descriptor: int, position: int, wanted: int) -> int:
    """As ``socket.sendfile``, which sends 8 kB at a time where TLS is spoken."""
    block = os.pread(descriptor, min(wanted, _BLOCK), position)
    to.sendall(block)
    return len(block)


def _unreachable(server: Server, error: Exception) -> UnreachableError:
    if isinstance(error, UnreachableError):
        return error
    return UnreachableError(f"{server.netloc} does not answer ({error or type(error).__name__})")

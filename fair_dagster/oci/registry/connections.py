"""Requests to registries and their token services: whom to talk to, how long, how much, how often.

Hosts are public ones over https, unless ``FAIR_REGISTRIES`` names them. What an answer means belongs to the client,
how it is carried to ``net.pinned``.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from fair_dagster.domain.errors import PrivateAddressError, ServiceError, UnreachableError
from fair_dagster.net.addresses import is_loopback, public_address, resolve
from fair_dagster.net.pinned import Answered, Body, Pools, Request, Server, Stream

MAX_BYTES = 4 * 1024 * 1024
"""A manifest larger than this is refused by registries, too."""
TRIES = 3
_ANSWER_SECONDS = 10.0
_COMMIT_SECONDS = 300.0
"""What a registry may take to store what it was sent: some copy it once more."""
_LONGEST_WAIT_SECONDS = 10.0
_AGAIN = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Answer:
    """What a server said. Names of ``headers`` are in lower case; several of one name are joined by a comma."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Connections:
    """Sends requests to allowed hosts only; follows no redirect. Threads may share one.

    Args:
        trusted: ``host:port`` or ``http://host:port`` of those that may stand at private addresses. One on this
            machine needs no TLS.
    """

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        self._schemes = dict(_trusted(entry) for entry in trusted)
        self._pool = Pools()

    def base_url(self, host: str) -> str:
        """``https://<host>``, or ``http://`` where a trusted one has no TLS."""
        return f"{self._schemes.get(host.lower(), 'https')}://{host}"

    def close(self) -> None:
        self._pool.close()

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None = None,
        *,
        body: bytes | None = None,
    ) -> Answer:
        """Send a request; again when the server is busy or cannot be reached, three times in all.

        Raises:
            ServiceError: the host is not allowed; with the reason in one clause.
            UnreachableError: it gave no whole answer.
        """
        if form is not None:
            headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
            body = urlencode(form).encode()
        for left in reversed(range(TRIES)):
            try:
                answer = self.once(method, url, headers, body)
            except UnreachableError:
                if not left:
                    raise
                self.wait(left)
                continue
            if answer.status not in _AGAIN or not left:
                return answer
            self.wait(left, answer)
        raise AssertionError("the last try returns or raises")

    def once(self, method: str, url: str, headers: Mapping[str, str], body: Body | None = None) -> Answer:
        """Send a request a single time. Errors as ``send``."""
        deadline = time.monotonic() + 2 * _ANSWER_SECONDS
        if body is not None:
            deadline += _COMMIT_SECONDS
        seconds = _ANSWER_SECONDS if method in {"GET", "HEAD"} else _COMMIT_SECONDS
        with self._exchange(method, url, headers, body, seconds) as stream:
            return Answer(stream.status, stream.headers, _body(urlsplit(url).netloc, stream, deadline))

    @contextmanager
    def open(self, method: str, url: str, headers: Mapping[str, str]) -> Iterator[Stream]:
        """Send a request a single time; the answer's body is for the caller to read. Errors as ``send``."""
        with self._exchange(method, url, headers, None, _ANSWER_SECONDS) as stream:
            yield stream

    def wait(self, left: int, answer: Answer | None = None) -> None:
        """Pause before the next try, of which there are ``left``; a busy server may ask for longer."""
        time.sleep(_pause(left, answer.headers.get("retry-after", "") if answer is not None else ""))

    @contextmanager
    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None, seconds: float
    ) -> Iterator[Answered]:
        server, target = self._server(url)
        told = {"Accept-Encoding": "identity", "User-Agent": "fair-dagster", **headers}
        request = Request(method, server, target, told, body, seconds)
        with self._pool.exchange(request, lambda: self._address(server)) as stream:
            yield stream

    def _server(self, url: str) -> tuple[Server, str]:
        """The server of a URL that may be asked, and the rest of the URL."""
        parts = urlsplit(url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ServiceError(f"{url} is no address: {error}") from error
        if not host or parts.username is not None:
            raise ServiceError(f"{parts.scheme}://… is no address of a server")
        allowed = self._schemes.get(parts.netloc.lower())
        if parts.scheme not in ({"https", allowed} if allowed else {"https"}):
            raise ServiceError(
                f"{parts.netloc}: only https is spoken to servers that FAIR_REGISTRIES does not name with http://"
            )
        query = f"?{parts.query}" if parts.query else ""
        return Server(
            parts.scheme, host, port or (80 if parts.scheme == "http" else 443)
        ), f"{parts.path or '/'}{query}"

    def _address(self, server: Server) -> str:
        names = {server.netloc.lower(), f"{server.host}:{server.port}"}
        if names & self._schemes.keys():
            return resolve(server.host, server.port, _ANSWER_SECONDS / 2)[0]
        try:
            return public_address(server.host, server.port, _ANSWER_SECONDS / 2)
        except PrivateAddressError as error:
            raise PrivateAddressError(f"{error}: name it in FAIR_REGISTRIES if it is yours") from error


def is_busy(status: int) -> bool:
    """Whether a request with this answer may be sent again: the server is busy or has a fault of its own."""
    return status in _AGAIN


def _trusted(entry: str) -> tuple[str, str]:
    scheme, found, host = entry.rstrip("/").rpartition("://")
    host = host.lower()
    if found:
        return host, scheme
    return host, "http" if is_loopback(urlsplit(f"//{host}").hostname or "") else "https"


def _pause(remaining: int, retry_after: str) -> float:
    """Seconds to wait; a server may ask for longer."""
    asked = float(retry_after) if retry_after.isdecimal() and retry_after.isascii() else 0.0
    return min(max(asked, 0.5 * float(2 ** (TRIES - 1 - remaining))), _LONGEST_WAIT_SECONDS)


def _body(server: str, stream: Answered, deadline: float) -> bytes:
    body = bytearray()
    for block in stream.arriving():
        body += block
        if len(body) > MAX_BYTES:
            raise UnreachableError(f"{server} answers with more than {MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise UnreachableError(f"{server} takes too long to answer")
    return bytes(body)

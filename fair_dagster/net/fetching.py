"""Fetching from addresses that documents of others name: no private address, no password, limits of size and time.

One guarded request serves small documents, which come into memory, and files, which go to disk. What has been fetched
before, and what it is compared with, stands with those who ask.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from fair_dagster.domain.errors import PrivateAddressError, ServiceError, StorageError, UnreachableError
from fair_dagster.domain.urls import has_credentials, redact
from fair_dagster.net.addresses import public_address, resolve
from fair_dagster.net.pinned import Answered, Pools, Request, Server

DOCUMENT_BYTES = 5 * 1024 * 1024
DOCUMENT_SECONDS = 10.0
_REDIRECTS = 5
_REDIRECTING = frozenset({301, 302, 303, 307, 308})
_RESOLVING_SECONDS = 10.0
_PATIENCE = 60.0
"""Seconds without a byte."""


@dataclass(frozen=True)
class Limits:
    """What a fetch may cost. ``private`` allows addresses that are not public, and http."""

    max_bytes: int
    max_seconds: float
    private: bool = False


@dataclass(frozen=True)
class Fetched:
    """What came: its bytes, its SHA-256 in hex, and the ETag by which a server knows it again."""

    size: int
    sha256: str
    etag: str


def fetch_document(url: str, *, max_bytes: int = DOCUMENT_BYTES, max_seconds: float = DOCUMENT_SECONDS) -> bytes:
    """The body of an https ``url`` at a public address; redirects are not followed.

    Raises:
        ServiceError: with the reason in one clause.
        UnreachableError: its server gives no answer.
    """
    deadline, body = time.monotonic() + max_seconds, bytearray()
    headers = {"Accept": "application/json"}
    with _exchange(url, Limits(max_bytes, max_seconds), headers, max_seconds / 2) as answer:
        if answer.status != 200:
            raise ServiceError(f"{redact(url)}: the server answered {answer.status}")
        for block in answer.arriving():
            body += block
            if len(body) > max_bytes:
                raise ServiceError(f"{redact(url)}: larger than {max_bytes} bytes")
            if time.monotonic() > deadline:
                raise UnreachableError(f"{redact(url)}: took too long")
    return bytes(body)


def fetch_file(url: str, target: Path, limits: Limits, known_etag: str = "") -> Fetched | None:
    """Write the body of ``url`` to the file ``target``; None when it is still what ``known_etag`` names.

    Redirects are followed, each under the same rules: file servers send their readers to other hosts.

    Raises:
        StorageError: it is refused by a rule or a limit, or the server did not give it; ``target`` may be cut short.
    """
    deadline, here = time.monotonic() + limits.max_seconds, url
    headers = {"If-None-Match": known_etag} if known_etag else {}
    try:
        for _ in range(_REDIRECTS + 1):
            with _exchange(here, limits, headers, _PATIENCE) as answer:
                if answer.status == 304 and known_etag:
                    return None
                if answer.status in _REDIRECTING and "location" in answer.headers:
                    here = urljoin(here, answer.headers["location"])
                    continue
                if answer.status != 200:
                    raise ServiceError(f"the server answered {answer.status}")
                return _written(url, answer, target, limits, deadline)
    except PrivateAddressError as error:
        advice = "FAIR_FETCH_PRIVATE=true allows private addresses"
        raise StorageError(f"{redact(url)} cannot be fetched: {error}; {advice}") from error
    except ServiceError as error:
        raise StorageError(f"{redact(url)} cannot be fetched: {redact(str(error))}") from error
    raise StorageError(f"{redact(url)} cannot be fetched: it is redirected more than {_REDIRECTS} times")


@contextmanager
def _exchange(url: str, limits: Limits, headers: dict[str, str], patience: float) -> Iterator[Answered]:
    """The answer of the one server that ``url`` names, at an address that was looked at."""
    server, target = _server(url, limits)
    sent = {"Accept-Encoding": "identity", "User-Agent": "fair-dagster", **headers}
    request = Request("GET", server, target, sent, None, patience)
    with closing(Pools()) as pools, pools.exchange(request, _looker(server, limits)) as answer:
        yield answer


def _server(url: str, limits: Limits) -> tuple[Server, str]:
    """The server that ``url`` names, if it may be asked, and the rest of the URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ServiceError(f"{redact(url)} is no address: {redact(str(error))}") from error
    if parts.scheme not in (("https", "http") if limits.private else ("https",)) or not host or has_credentials(url):
        raise ServiceError(f"{redact(url)}: only https URLs without a user name are fetched")
    query = f"?{parts.query}" if parts.query else ""
    server = Server(parts.scheme, host, port or (443 if parts.scheme == "https" else 80))
    return server, f"{parts.path or '/'}{query}"


def _looker(server: Server, limits: Limits) -> Callable[[], str]:
    def look_up() -> str:
        if limits.private:
            return resolve(server.host, server.port, _RESOLVING_SECONDS)[0]
        return public_address(server.host, server.port, min(_RESOLVING_SECONDS, limits.max_seconds / 2))

    return look_up


def _written(url: str, answer: Answered, target: Path, limits: Limits, deadline: float) -> Fetched:
    digest, size = hashlib.sha256(), 0
    try:
        with target.open("wb") as stream:
            for block in answer.arriving():
                size += len(block)
                if size > limits.max_bytes:
                    raise StorageError(f"{redact(url)} is larger than FAIR_FETCH_MAX_BYTES ({limits.max_bytes:,})")
                if time.monotonic() > deadline:
                    seconds = f"FAIR_FETCH_SECONDS ({limits.max_seconds:g})"
                    raise StorageError(f"{redact(url)} took longer than {seconds}; {size:,} bytes had come")
                digest.update(block)
                stream.write(block)
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror or error}") from error
    return Fetched(size, digest.hexdigest(), answer.headers.get("etag", ""))

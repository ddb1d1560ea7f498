"""Fetching one file over https into a folder: streamed, hashed, within limits, and from public addresses only.

Small documents are the business of ``catalog.fetching``; what has been fetched before, of ``cache``.
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from fair_dagster.domain.errors import ServiceError, StorageError
from fair_dagster.domain.urls import has_credentials, redacted
from fair_dagster.net.addresses import public_address, resolved

if TYPE_CHECKING:
    import httpx

_REDIRECTS = 5
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


def download(url: str, target: Path, limits: Limits, known_etag: str = "") -> Fetched | None:
    """Write the body of ``url`` to the file ``target``; None when it is still what ``known_etag`` names.

    Redirects are followed, each under the same rules: file servers send their readers to other hosts.

    Raises:
        StorageError: it is refused by a rule or a limit, or the server did not give it; ``target`` may be cut short.
    """
    deadline = time.monotonic() + limits.max_seconds
    here = url
    for _ in range(_REDIRECTS + 1):
        with _answer(here, limits, known_etag) as response:
            if response.status_code == 304 and known_etag:
                return None
            if response.is_redirect:
                here = urljoin(here, response.headers["location"])
                continue
            if response.status_code != 200:
                raise StorageError(f"{redacted(url)} cannot be fetched: the server answered {response.status_code}")
            return _written(url, response, target, limits, deadline)
    raise StorageError(f"{redacted(url)} cannot be fetched: it is redirected more than {_REDIRECTS} times")


@contextmanager
def _answer(url: str, limits: Limits, known_etag: str) -> Iterator["httpx.Response"]:
    """The answer of the one server that ``url`` names, at an address that was looked at."""
    import httpx

    parts = urlsplit(url)
    allowed = ("https", "http") if limits.private else ("https",)
    if parts.scheme not in allowed or not parts.hostname or has_credentials(url):
        raise StorageError(f"{redacted(url)} is not fetched: only https URLs without a user name are")
    headers = {"Host": parts.netloc, "Accept-Encoding": "identity"}
    headers |= {"If-None-Match": known_etag} if known_etag else {}
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        look_up = resolved(parts.hostname, port, 10.0)[0] if limits.private else None
        address = look_up or public_address(parts.hostname, port, 10.0)
        with (
            httpx.Client(trust_env=False, timeout=_PATIENCE, follow_redirects=False) as client,
            client.stream(
                "GET",
                httpx.URL(url).copy_with(host=address),
                headers=headers,
                extensions={"sni_hostname": parts.hostname},
            ) as response,
        ):
            yield response
    except ServiceError as error:
        advice = "" if limits.private else "; FAIR_FETCH_PRIVATE=true allows private addresses"
        raise StorageError(f"{redacted(url)} cannot be fetched: {error}{advice}") from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        reason = redacted(str(error)) or type(error).__name__
        raise StorageError(f"{redacted(url)} cannot be fetched: {reason}") from error


def _written(url: str, response: "httpx.Response", target: Path, limits: Limits, deadline: float) -> Fetched:
    digest, size = hashlib.sha256(), 0
    try:
        with target.open("wb") as stream:
            # Blocks as they come: waiting until one is full, a server that drips would be held to no limit.
            for block in response.iter_raw():
                size += len(block)
                if size > limits.max_bytes:
                    raise StorageError(f"{redacted(url)} is larger than FAIR_FETCH_MAX_BYTES ({limits.max_bytes:,})")
                if time.monotonic() > deadline:
                    seconds = f"FAIR_FETCH_SECONDS ({limits.max_seconds:g})"
                    raise StorageError(f"{redacted(url)} took longer than {seconds}; {size:,} bytes had come")
                digest.update(block)
                stream.write(block)
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror or error}") from error
    told = response.headers.get("content-length", "")
    if told.isdecimal() and int(told) != size:
        raise StorageError(f"{redacted(url)} was cut short: {size:,} of {int(told):,} bytes came")
    return Fetched(size, digest.hexdigest(), response.headers.get("etag", ""))

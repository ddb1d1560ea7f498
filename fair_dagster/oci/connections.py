"""Requests to registries and their token services: whom to talk to, how long, how much, how often.

Hosts are public ones over https, unless ``FAIR_REGISTRIES`` names them. What an answer means belongs to the client.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fair_dagster.addresses import is_loopback, public_address, resolved
from fair_dagster.domain.errors import ServiceError, UnreachableError

if TYPE_CHECKING:
    import httpx

MAX_BYTES = 4 * 1024 * 1024
"""A manifest larger than this is refused by registries, too."""
_ANSWER_SECONDS = 10.0
_TRIES = 3
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
    """Sends requests to allowed hosts only; follows no redirect.

    Args:
        trusted: ``host:port`` or ``http://host:port`` of those that may stand at private addresses. One on this
            machine needs no TLS.
    """

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        self._schemes = dict(_trusted(entry) for entry in trusted)

    def base_url(self, host: str) -> str:
        """``https://<host>``, or ``http://`` where a trusted one has no TLS."""
        return f"{self._schemes.get(host.lower(), 'https')}://{host}"

    def send(self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None) -> Answer:
        """Send a request; again when the server is busy or cannot be reached, three times in all.

        Raises:
            ServiceError: the host is not allowed; with the reason in one clause.
            UnreachableError: it gave no whole answer.
        """
        address = self._address(url)
        for remaining in reversed(range(_TRIES)):
            try:
                answer = _send(method, url, address, headers, form)
            except UnreachableError:
                if not remaining:
                    raise
                time.sleep(_pause(remaining, ""))
                continue
            if answer.status not in _AGAIN or not remaining:
                return answer
            time.sleep(_pause(remaining, answer.headers.get("retry-after", "")))
        raise AssertionError("the last try returns or raises")

    def _address(self, url: str) -> str:
        parts = urlsplit(url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ServiceError(f"{url} is no address: {error}") from error
        if not host or parts.username is not None:
            raise ServiceError(f"{parts.scheme}://… is no address of a server")
        port = port or (80 if parts.scheme == "http" else 443)
        allowed = self._schemes.get(parts.netloc.lower())
        if parts.scheme not in ({"https", allowed} if allowed else {"https"}):
            raise ServiceError(
                f"{parts.netloc}: only https is spoken to servers that FAIR_REGISTRIES does not name with http://"
            )
        if allowed:
            return resolved(host, port, _ANSWER_SECONDS / 2)[0]
        try:
            return public_address(host, port, _ANSWER_SECONDS / 2)
        except ServiceError as error:
            if "not a public address" in str(error):
                raise ServiceError(f"{error}: name it in FAIR_REGISTRIES if it is yours") from error
            raise


def _trusted(entry: str) -> tuple[str, str]:
    scheme, found, host = entry.rstrip("/").rpartition("://")
    host = host.lower()
    if found:
        return host, scheme
    return host, "http" if is_loopback(urlsplit(f"//{host}").hostname or "") else "https"


def _pause(remaining: int, retry_after: str) -> float:
    """Seconds to wait; a server may ask for longer."""
    asked = float(retry_after) if retry_after.isdecimal() and retry_after.isascii() else 0.0
    return min(max(asked, 0.5 * float(2 ** (_TRIES - 1 - remaining))), _LONGEST_WAIT_SECONDS)


def _send(method: str, url: str, address: str, headers: Mapping[str, str], form: Mapping[str, str] | None) -> Answer:
    import httpx

    deadline = time.monotonic() + 2 * _ANSWER_SECONDS
    parts = urlsplit(url)
    told = {"Host": parts.netloc, "Accept-Encoding": "identity", "User-Agent": "fair-dagster", **headers}
    try:
        with (
            httpx.Client(trust_env=False, timeout=_ANSWER_SECONDS, follow_redirects=False) as client,
            client.stream(
                method,
                httpx.URL(url).copy_with(host=address),
                headers=told,
                data=form,
                extensions={"sni_hostname": parts.hostname},
            ) as response,
        ):
            body = _body(parts.netloc, response.iter_raw(), deadline)
            return Answer(response.status_code, _joined(response.headers), body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnreachableError(f"{parts.netloc} does not answer ({error or type(error).__name__})") from error


def _joined(headers: "httpx.Headers") -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _body(server: str, chunks: Iterable[bytes], deadline: float) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > MAX_BYTES:
            raise UnreachableError(f"{server} answers with more than {MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise UnreachableError(f"{server} takes too long to answer")
    return bytes(body)

"""Fetching a small public document over https: no private address, no redirect, limits of size and time."""

import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from fair_dagster.domain.errors import ServiceError
from fair_dagster.net.addresses import public_address

MAX_BYTES = 5 * 1024 * 1024
MAX_SECONDS = 10.0


def fetch(url: str, *, max_bytes: int = MAX_BYTES, max_seconds: float = MAX_SECONDS) -> bytes:
    """The body of ``url``.

    The host is resolved once and the connection goes to that very address, so that a name cannot point at a
    public address when it is checked and at a private one when it is used.

    Raises:
        ServiceError: with the reason in one clause.
    """
    import httpx

    deadline = time.monotonic() + max_seconds
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise ServiceError(f"{url}: only https is fetched")
    host = parts.hostname
    address = public_address(host, parts.port or 443, max_seconds / 2)
    target = httpx.URL(url).copy_with(host=address)
    headers = {"Host": parts.netloc, "Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        with (
            httpx.Client(trust_env=False, timeout=max_seconds / 2, follow_redirects=False) as client,
            client.stream("GET", target, headers=headers, extensions={"sni_hostname": host}) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise ServiceError(f"{url}: the server answered {response.status_code}")
            return _body(url, response.iter_raw(), max_bytes, deadline)
    except httpx.HTTPError as error:
        raise ServiceError(f"{url}: {error or type(error).__name__}") from error


def _body(url: str, chunks: Iterable[bytes], max_bytes: int, deadline: float) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > max_bytes:
            raise ServiceError(f"{url}: larger than {max_bytes} bytes")
        if time.monotonic() > deadline:
            raise ServiceError(f"{url}: took too long")
    return bytes(body)

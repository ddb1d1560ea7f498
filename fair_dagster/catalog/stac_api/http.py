"""HTTP with a STAC API: the token, patience with a server that is busy or restarting, and errors that say what to do.

The transport of pystac-client. What is asked for is the business of ``stac_reading`` and ``transactions``.
"""

import logging
import os
import re
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from requests.adapters import HTTPAdapter

from fair_dagster.catalog.stac_api.patience import Patience
from fair_dagster.domain.errors import CatalogAwayError, CatalogError, RefusedError
from fair_dagster.domain.urls import redact

_LOG = logging.getLogger(__name__)
_PASSING = frozenset({429, 500, 502, 503, 504})
_BAD_GATEWAYS = frozenset({502, 503, 504})
_LONGEST_WAIT = 30.0
_LONGEST_TRY = 90.0
"""Seconds after which a request is not tried again."""
_BODY_KEPT = frozenset({307, 308})
"""Redirects after which a request is sent on as it was; after others it arrives as a GET or without its body."""
_KNOCKS = 3
"""How often a host is tried that has never answered: most likely its name is wrong, and a person is waiting."""
_LONGEST_TEXT = 300


class StacApiError(CatalogError):
    """An API refused a request, or did not answer it: then it is a ``StacApiAwayError``.

    Attributes:
        status: of the answer; None where there was none.
        body: of the answer.
    """

    def __init__(self, message: str, status: int | None = None, body: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class StacApiAwayError(StacApiError, CatalogAwayError):
    """An API did not answer a request."""


class StacHttp(StacApiIO):  # type: ignore[misc] # pystac-client has no types
    """Sends requests to the API at ``url`` as ``StacApiIO`` does, again where that may help.

    Args:
        url: root of the API.
        token: bearer token; sent to the host of ``url`` and to no other.
        timeout: seconds without a byte.
        patience: for failures that pass: no answer, 429 and 5xx.
    """

    def __init__(self, url: str, token: str = "", *, timeout: float = 60.0, patience: Patience | None = None) -> None:
        super().__init__(timeout=timeout, max_retries=None)
        self.root = url.rstrip("/")
        self.announced = ""
        self._patience = patience or Patience()
        parts = urlsplit(url)
        self._host, self._token = f"{parts.scheme}://{parts.netloc}/", token
        self._open(self.session)
        self._retry_after: float | None = None
        self._moved_to = ""
        self._answered = False

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """The text of the answer; raises ``StacApiError``."""
        return self.send(href, method or "GET", headers, parameters)

    def send(
        self,
        href: str,
        method: str,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """The text of the answer to a request that may be repeated.

        Raises:
            StacApiError: the API refused it, or went on failing.
        """
        if self._owner != os.getpid():
            # Two processes on one connection would read each other's answers.
            self._open(requests.Session())
        href = self._reachable(href)
        waits, refusals = self._patience.waits(), 0
        begun = time.monotonic()
        while True:
            self._retry_after, self._moved_to = None, ""
            try:
                text = super().request(href, method, headers, parameters)
                self._answered = True
                return str(text)
            except APIError as error:
                failure = error
            if self._moved_to:
                raise _redirected(f"{method} {redact(href)}", self._moved_to)
            status = getattr(failure, "status_code", None)
            wait = next(waits, None)
            self._answered = self._answered or status is not None
            refusals += status is None
            # A server that takes requests and says nothing would have each of them wait for its whole timeout.
            if (refusals > _KNOCKS and not self._answered) or time.monotonic() - begun > _LONGEST_TRY:
                wait = None
            if wait is None or not (status is None or status in _PASSING):
                raise self._told(failure, status, f"{method} {redact(href)}") from None
            time.sleep(max(wait, min(self._retry_after or 0.0, _LONGEST_WAIT)))

    def get_pages(
        self, url: str, method: str | None = None, parameters: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """As ``StacApiIO`` does; but a page without a list of features is an error, not the end of the items."""
        from pystac import Link

        source: Any = url
        while source is not None:
            page = self.read_json(source, method=method, parameters=parameters)
            if not isinstance(page, dict) or not isinstance(page.get("features"), list):
                raise TypeError("a page of items has no features")
            if page["features"]:
                yield page
            following = next((link for link in page.get("links", []) if link["rel"] == "next"), None)
            source = Link.from_dict(following) if following and page["features"] else None

    def _open(self, session: requests.Session) -> None:
        """Use ``session``, which belongs to this process."""
        session.mount(self._host, _Bearer(self._token))
        session.hooks["response"].append(self._note)
        self.session, self._owner = session, os.getpid()

    def _reachable(self, href: str) -> str:
        """``href`` below the root that we were told: behind a proxy an API may call itself something else."""
        if self.announced and self.announced != self.root and f"{href}/".startswith(f"{self.announced}/"):
            return self.root + href.removeprefix(self.announced)
        return href

    def _note(self, response: requests.Response, *_: Any, **__: Any) -> None:
        _LOG.debug("%s %s: %d", response.request.method, redact(str(response.request.url)), response.status_code)
        self._retry_after = _seconds(response.headers.get("Retry-After"))
        if response.is_redirect and response.request.method != "GET" and response.status_code not in _BODY_KEPT:
            self._moved_to = response.headers["Location"]
            raise requests.TooManyRedirects("one that loses what is sent")

    def _told(self, failure: APIError, status: int | None, what: str) -> StacApiError:
        body = str(failure)
        text = " ".join(redact(body).split())[:_LONGEST_TEXT]
        if status is None:
            check = f"Check FAIR_CATALOG ({redact(self.root)}) and that the server runs"
            return StacApiAwayError(f"the STAC API did not answer {what}: {text}. {check}", None, body)
        said = f"answered {_format_status(status)} to {what}{_advice(status, what)}: {text}"
        return StacApiError(f"the STAC API {said}", status, body)


class _Bearer(HTTPAdapter):
    """Adds the token where a request leaves, so that it is in nobody's log of requests."""

    def __init__(self, token: str) -> None:
        super().__init__()
        # Such a token is refused by the library with a message that quotes it.
        if not re.fullmatch(r"[\x21-\x7e]*", token):
            problem = "it holds a line break, a blank or a letter that no header can hold; set the token alone"
            raise RefusedError("the setting FAIR_CATALOG_TOKEN", [problem])
        self._token = token

    def add_headers(self, request: requests.PreparedRequest, **_: Any) -> None:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"


def _redirected(what: str, location: str) -> StacApiError:
    return StacApiError(
        f"the STAC API answered {what} by sending it on to {redact(location)}, where it would arrive without what it "
        "asks for: set FAIR_CATALOG to the address there (https:// instead of http://, most likely)"
    )


def _format_status(status: int) -> str:
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def _advice(status: int, what: str) -> str:
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        reads = what.startswith("GET") or what.endswith("/search")
        return f"; set FAIR_CATALOG_TOKEN to a token that may {'read' if reads else 'write'}"
    if status == HTTPStatus.NOT_FOUND:
        return "; check that FAIR_CATALOG is the root of a STAC API"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return " each time; try again later, or raise the limit of the server"
    if status in _BAD_GATEWAYS:
        return " each time; the server or its database is down or overloaded: see its log"
    return "; see the log of the server" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else ""


def _seconds(retry_after: str | None) -> float | None:
    """``Retry-After`` in seconds: it is a number of them or a date."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(parsedate_to_datetime(retry_after).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return None

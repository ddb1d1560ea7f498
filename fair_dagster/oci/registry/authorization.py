"""How a registry wants to be asked: its challenges, and the tokens that its token service gives.

https://distribution.github.io/distribution/spec/auth/token/ and .../oauth/. Where credentials come from, and what is
asked with them, stands elsewhere.
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from fair_dagster.domain.errors import CredentialsError, ServiceError
from fair_dagster.oci.registry.connections import Answer, Connections
from fair_dagster.oci.registry.credentials import Credentials

_CHALLENGE = re.compile(r'(?:^|,)\s*(?P<scheme>[A-Za-z]+)\s+(?P<parameters>(?:[A-Za-z_]+="[^"]*"(?:\s*,\s*)?)*)')
_PARAMETER = re.compile(r'([A-Za-z_]+)="([^"]*)"')
_SHORTEST_SECONDS = 60
"""What a token lasts whose service does not say."""
_EARLIER_SECONDS = 5
_CLIENT = "fair-dagster"


@dataclass(frozen=True)
class Token:
    """A bearer token for one scope of one registry."""

    value: str = field(repr=False)
    until: float
    """When it ends, by ``time.monotonic``."""

    @property
    def usable(self) -> bool:
        return time.monotonic() < self.until


def challenges(header: str) -> dict[str, dict[str, str]]:
    """The parameters of each scheme that a ``WWW-Authenticate`` header offers, by its name in lower case."""
    return {
        found["scheme"].lower(): dict(_PARAMETER.findall(found["parameters"])) for found in _CHALLENGE.finditer(header)
    }


def fetch_token(
    connections: Connections,
    challenge: Mapping[str, str],
    scope: str,
    credentials: Credentials | None,
) -> Token:
    """A token from the service that ``challenge`` names.

    Args:
        challenge: the parameters of a Bearer challenge.
        scope: what is asked for where the challenge names no scope.

    Raises:
        ServiceError: the service is not allowed, refuses, or answers with no token.
    """
    realm = challenge.get("realm", "")
    if not urlsplit(realm).netloc:
        raise ServiceError(f"its challenge names no token service (realm {realm!r})")
    asked = {"service": challenge.get("service", ""), "scope": challenge.get("scope") or scope}
    asked = {name: value for name, value in asked.items() if value}
    if credentials is not None and credentials.identity_token:
        form = asked | {
            "grant_type": "refresh_token",
            "client_id": _CLIENT,
            "refresh_token": credentials.identity_token,
        }
        answer = connections.send("POST", realm, {"Accept": "application/json"}, form)
    else:
        headers = {"Accept": "application/json"}
        if credentials is not None:
            headers["Authorization"] = credentials.basic
        joint = "&" if urlsplit(realm).query else "?"
        answer = connections.send("GET", f"{realm}{joint}{urlencode(asked)}", headers)
    return _token(urlsplit(realm).netloc, answer)


def _token(service: str, answer: Answer) -> Token:
    if answer.status in {400, 401, 403}:
        raise CredentialsError(f"its token service {service} refuses ({answer.status})")
    if answer.status != 200:
        raise ServiceError(f"its token service {service} answers {answer.status}")
    try:
        document = json.loads(answer.body)
        value = document.get("token") or document.get("access_token")
        lasts = int(document.get("expires_in") or _SHORTEST_SECONDS)
    except (ValueError, TypeError, AttributeError):
        value = None
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise ServiceError(f"its token service {service} answers with no token, but {answer.media_type or 'something'}")
    return Token(value, time.monotonic() + max(lasts - _EARLIER_SECONDS, 0))

"""Makes an API key for a service account of a ZenML server: ``python zenml_key.py ACCOUNT``.

``ZENML_URL``, ``ZENML_USER`` and ``ZENML_PASSWORD`` say where and as whom. Prints one line for an env file,
``ZENML_STORE_API_KEY=...``; the server never shows the key again. Each call makes a key of its own and leaves former
ones valid, so that keys can be changed without a gap: take back old ones by ``zenml service-account api-key``.
"""

import os
import sys
from datetime import UTC, datetime
from typing import Any

import httpx

_TIMEOUT = 30.0


class SetupError(Exception):
    """What is wrong, and what to do."""


def main(names: list[str]) -> int:
    try:
        if len(names) != 1:
            raise SetupError("name the service account")
        url, user, password = (_required(name) for name in ("ZENML_URL", "ZENML_USER", "ZENML_PASSWORD"))
        with httpx.Client(base_url=f"{url.rstrip('/')}/api/v1", timeout=_TIMEOUT, trust_env=False) as client:
            login = _answer(client.post("/login", data={"username": user, "password": password}))
            client.headers["Authorization"] = f"Bearer {login['access_token']}"
            key = make_key(client, names[0])
    except (SetupError, httpx.HTTPError) as error:
        print(f"no API key was made: {error}", file=sys.stderr)
        return 1
    print(f"ZENML_STORE_API_KEY={key}")
    return 0


def make_key(client: httpx.Client, account: str) -> str:
    """A new key of the account, which is made when it is not there."""
    found = _answer(client.get("/service_accounts", params={"name": account}))["items"]
    if not found:
        described = {"name": account, "active": True, "description": "Code locations, runs and workers of fair-dagster"}
        found = [_answer(client.post("/service_accounts", json=described))]
    name = f"made-{datetime.now(UTC):%Y-%m-%d-%H%M%S}"
    made = _answer(client.post(f"/service_accounts/{found[0]['id']}/api_keys", json={"name": name}))
    return str(made["body"]["key"])


def _answer(response: httpx.Response) -> Any:
    if response.is_success:
        return response.json()
    where = f"{response.request.method} {response.request.url.path}"
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise SetupError(f"{where} answered 401: check ZENML_USER and ZENML_PASSWORD")
    raise SetupError(f"{where} answered {response.status_code}: {response.text[:300]}")


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise SetupError(f"set {name}")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

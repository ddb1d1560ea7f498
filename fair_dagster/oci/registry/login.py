"""Logging in to a registry: credentials that were checked, left where Docker, Podman and this project look for them.

How they are found again stands in ``credentials``.
"""

import base64
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fair_dagster.domain.errors import CredentialsError, RefusedError, ServiceError
from fair_dagster.net.files import replace
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.client import Client, errors_in
from fair_dagster.oci.registry.credentials import HELPER, Credentials, config_file, config_key

_HELPER_SECONDS = 30


def login(
    registry: str,
    user: str,
    password: str,
    *,
    trusted: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> str:
    """Check a user's password at a registry and remember it; gives where it was left.

    Args:
        registry: host, with a port where one is named.
        trusted: as ``Settings.registries``.

    Raises:
        RefusedError: the registry does not take them; nothing was written.
        ServiceError: it cannot be asked, or the file of credentials cannot be used; it is as it was.
    """
    environment = os.environ if environment is None else environment
    anywhere = Reference.parse(f"{registry}/login")
    problems = [] if user and ":" not in user else ["the user name is empty, or holds a colon"]
    problems += [] if password else ["the password is empty"]
    if problems:
        raise RefusedError(f"login to {registry}", problems)
    credentials = Credentials(user, password)
    _check(anywhere, credentials, trusted)
    return _store(anywhere.registry, credentials, config_file(environment))


def _check(anywhere: Reference, credentials: Credentials, trusted: Sequence[str]) -> None:
    client = Client(trusted, lambda _: credentials)
    try:
        answer = client.send("GET", client.url(anywhere, "/v2/"), anywhere)
    except CredentialsError as error:
        raise RefusedError(f"login to {anywhere.registry}", [str(error)]) from error
    finally:
        client.connections.close()
    if answer.status in {401, 403}:
        _, message = errors_in(answer)
        problem = f"the registry does not take user and password ({answer.status}{message})"
        raise RefusedError(f"login to {anywhere.registry}", [problem])
    if answer.status != 200:
        raise ServiceError(f"{anywhere.registry} answers /v2/ with {answer.status}: is it a registry?")


def _store(registry: str, credentials: Credentials, path: Path) -> str:
    config = _existing(path)
    key = config_key(registry)
    helpers = config.get("credHelpers")
    helper = (helpers.get(key) if isinstance(helpers, dict) else None) or config.get("credsStore")
    if helper:
        return _hand_over(str(helper), key, credentials)
    auths = config.setdefault("auths", {})
    if not isinstance(auths, dict):
        raise ServiceError(f"{path}: auths is no object; mend the file or remove it")
    auths[key] = {"auth": base64.b64encode(f"{credentials.user}:{credentials.password}".encode()).decode()}
    _write(path, config)
    return str(path)


def _existing(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ServiceError(f"{path} cannot be read ({error}): mend the file or remove it") from error
    if not isinstance(config, dict):
        raise ServiceError(f"{path} is no JSON object: mend the file or remove it")
    return config


def _write(path: Path, config: Mapping[str, Any]) -> None:
    """Replace the file in one step; only its owner may read it."""
    try:
        # A link to the file of another place stays one.
        path = path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace(path, json.dumps(config, indent="\t").encode())
    except OSError as error:
        raise ServiceError(f"{path} cannot be written: {error.strerror or error}") from error


def _hand_over(helper: str, key: str, credentials: Credentials) -> str:
    if not HELPER.fullmatch(helper):
        raise ServiceError(f"{helper!r} is no name of a credential helper")
    command = f"docker-credential-{helper}"
    document = {"ServerURL": key, "Username": credentials.user, "Secret": credentials.password}
    try:
        subprocess.run(
            [command, "store"],
            input=json.dumps(document),
            capture_output=True,
            text=True,
            check=True,
            timeout=_HELPER_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        # Without its own words: they might repeat what it was given.
        raise ServiceError(f"{command} does not store the credentials ({type(error).__name__})") from None
    return command

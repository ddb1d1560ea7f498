"""What this machine may say to a registry: the credentials that ``docker login`` or ``podman login`` left.

Read when they are needed, and never kept, shown or logged. What is done with them belongs to the client.
"""

import base64
import binascii
import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_DOCKER_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "docker.io")
HELPER = re.compile(r"[A-Za-z0-9_.-]+")
_HELPER_SECONDS = 10
_TOKEN_USER = "<token>"  # noqa: S105 - the user name by which helpers mark an identity token


@dataclass(frozen=True)
class Credentials:
    """A user with a password, or an identity token that a token service takes."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an ``Authorization`` header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def find_credentials(registry: str, environment: Mapping[str, str] | None = None) -> Credentials | None:
    """The credentials for a registry, or None: it is then asked without.

    ``REGISTRY_AUTH_FILE``, else ``DOCKER_CONFIG/config.json``, else ``~/.docker/config.json``. A file or a helper that
    cannot be read is one without credentials: the registry says whether it needs any.
    """
    environment = os.environ if environment is None else environment
    config = _read(config_file(environment))
    keys = _DOCKER_HUB_KEYS if registry == "docker.io" else (registry, f"https://{registry}", f"http://{registry}")
    helpers, store = config.get("credHelpers"), config.get("credsStore")
    for key in keys:
        helper = helpers.get(key) if isinstance(helpers, dict) else None
        found = _of_helper(str(helper), key) if helper else _of_entry(config, key)
        if found is None and store and not helper:
            found = _of_helper(str(store), key)
        if found is not None:
            return found
    return None


def config_key(registry: str) -> str:
    """Under which name a registry's credentials are left: Docker Hub has one of its own."""
    return _DOCKER_HUB_KEYS[0] if registry == "docker.io" else registry


def config_file(environment: Mapping[str, str]) -> Path:
    """The file in which credentials are left."""
    if named := environment.get("REGISTRY_AUTH_FILE"):
        return Path(named)
    folder = environment.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path.home() / ".docker") / "config.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _of_entry(config: Mapping[str, Any], key: str) -> Credentials | None:
    entries = config.get("auths")
    entry = entries.get(key) or entries.get(f"{key}/") if isinstance(entries, dict) else None
    if not isinstance(entry, dict):
        return None
    user, password = str(entry.get("username", "")), str(entry.get("password", ""))
    if entry.get("auth"):
        try:
            user, _, password = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
    token = str(entry.get("identitytoken", ""))
    return Credentials(user, password, token) if user or token else None


def _of_helper(helper: str, key: str) -> Credentials | None:
    if not HELPER.fullmatch(helper):
        return None
    command = [f"docker-credential-{helper}", "get"]
    try:
        answer = subprocess.run(
            command, input=key, capture_output=True, text=True, check=True, timeout=_HELPER_SECONDS
        ).stdout
        found = json.loads(answer)
        user, secret = str(found["Username"]), str(found["Secret"])
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError):
        return None
    return Credentials(identity_token=secret) if user == _TOKEN_USER else Credentials(user, secret)

"""A container registry: Debian's docker-registry."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from scripts.local_services import health
from scripts.local_services.commands import Command
from scripts.local_services.home import HOST, write_private
from scripts.local_services.service import Service

USER = "fair"
# Everything else is said by the environment, which overrides what stands here.
_CONFIG = "version: 0.1\nstorage:\n  filesystem: {}\nhttp: {}\n"


class Registry(Service):
    """Distribution 2.8 on files, with deletion. ``protected`` asks for a user and a password."""

    key: ClassVar[str] = "registry"
    packages: ClassVar[tuple[str, ...]] = ("docker-registry",)
    protected = False

    @property
    def address(self) -> str:
        """As it stands in the reference of an image."""
        return f"{HOST}:{self.port}"

    @property
    def _config(self) -> Path:
        return self.data.parent / f"{self.name}.yml"

    @property
    def _passwords(self) -> Path:
        return self.data.parent / f"{self.name}.htpasswd"

    def values(self) -> Mapping[str, str]:
        return {"config": str(self._config), "http_secret": self.secret("http_secret")}

    def command(self) -> Command:
        command = super().command()
        if not self.protected:
            return command
        asked = {
            "REGISTRY_AUTH": "htpasswd",
            "REGISTRY_AUTH_HTPASSWD_REALM": "fair",
            "REGISTRY_AUTH_HTPASSWD_PATH": str(self._passwords),
        }
        return Command(command.argv, {**command.env, **asked})

    def prepare(self) -> None:
        super().prepare()
        self._config.write_text(_CONFIG)
        if self.protected:
            import bcrypt

            hashed = bcrypt.hashpw(self.secret("password").encode(), bcrypt.gensalt(5)).decode()
            write_private(self._passwords, f"{USER}:{hashed}\n")

    def problem(self) -> str:
        return health.http(f"{self.url}/v2/", 401)

    def variables(self) -> Mapping[str, str]:
        return {"FAIR_REGISTRIES": json.dumps([self.url])}

"""Redis: the broker of Celery."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from scripts.local_services import health
from scripts.local_services.home import HOST, write_private
from scripts.local_services.service import Service


class Redis(Service):
    """Redis with a password, which stands in its file and not in the list of processes."""

    key: ClassVar[str] = "redis"
    packages: ClassVar[tuple[str, ...]] = ("redis-server",)

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    @property
    def client_url(self) -> str:
        """With the password."""
        return f"redis://:{self.secret('password')}@{HOST}:{self.port}/0"

    @property
    def _config(self) -> Path:
        return self.data.parent / "redis.conf"

    def values(self) -> Mapping[str, str]:
        return {"config": str(self._config)}

    def prepare(self) -> None:
        super().prepare()
        write_private(self._config, f"requirepass {self.secret('password')}\n")

    def problem(self) -> str:
        return health.redis(self.port, self.secret("password"))

    def variables(self) -> Mapping[str, str]:
        return {"FAIR_BROKER_URL": self.client_url}

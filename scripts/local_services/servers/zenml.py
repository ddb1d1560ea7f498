"""The ZenML server, and the service account that clients log in with."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from scripts.local_services import health
from scripts.local_services.home import HOST
from scripts.local_services.machine import run
from scripts.local_services.servers import mariadb
from scripts.local_services.service import Service

ADMIN = "default"
ACCOUNT = "fair-dagster"
_KEY = "api_key"
_SETUP = Path(__file__).resolve().parents[3] / "deploy" / "setup" / "zenml_key.py"


class ZenMl(Service):
    """A ZenML server on the database of `MariaDb`."""

    key: ClassVar[str] = "zenml"
    needs: ClassVar[tuple[str, ...]] = ("mariadb",)
    # The first start makes 100 tables: three minutes on a machine that has other work.
    seconds: ClassVar[float] = 420

    def values(self) -> Mapping[str, str]:
        return {
            "mariadb_host": HOST,
            "mariadb_port": str(self.home.port("mariadb")),
            "mariadb_user": mariadb.USER,
            "mariadb_password": self.home.secret("mariadb", "password"),
            "mariadb_database": mariadb.DATABASE,
            "admin_name": ADMIN,
            "admin_password": self.secret("admin_password"),
            "jwt_secret": self.secret("jwt_secret"),
        }

    def problem(self) -> str:
        return health.http(f"{self.url}/health")

    def provision(self) -> None:
        """Make a key of the service account as `deploy/` does, unless the one that is kept here still opens the server.

        Raises:
            ServiceError: the server gives none.
        """
        if self._opens(self.home.kept(self.name, _KEY)):
            return
        printed = run(
            [sys.executable, str(_SETUP), ACCOUNT],
            output_to=self.home.log(self.name),
            output=True,
            env={
                **self.machine.environment(self.home.path),
                "ZENML_URL": self.url,
                "ZENML_USER": ADMIN,
                "ZENML_PASSWORD": self.secret("admin_password"),
            },
        )
        self.home.secret(self.name, _KEY, printed.strip().partition("=")[2])

    def _opens(self, key: str) -> bool:
        import httpx

        if not key:
            return False
        return httpx.post(f"{self.url}/api/v1/login", data={"password": key}, timeout=60, trust_env=False).is_success

    def variables(self) -> Mapping[str, str]:
        return {
            "ZENML_STORE_URL": self.url,
            "ZENML_STORE_API_KEY": self.home.kept(self.name, _KEY),
            "ZENML_ANALYTICS_OPT_IN": "false",
        }

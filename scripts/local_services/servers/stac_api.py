"""The STAC API on pgstac, with the Transaction extension."""

from collections.abc import Mapping
from typing import ClassVar

from scripts.local_services import health
from scripts.local_services.home import HOST
from scripts.local_services.servers.postgres import PGSTAC, USER
from scripts.local_services.service import Service


class StacApi(Service):
    """stac-fastapi-pgstac on the database of `Postgres`."""

    key: ClassVar[str] = "stac-api"
    needs: ClassVar[tuple[str, ...]] = ("postgres",)
    database = PGSTAC

    def values(self) -> Mapping[str, str]:
        return {
            "postgres_host": HOST,
            "postgres_port": str(self.home.port("postgres")),
            "postgres_user": USER,
            "postgres_password": self.home.secret("postgres", USER),
            "postgres_database": self.database,
        }

    def problem(self) -> str:
        # The list of collections asks the database; the ping does not.
        return health.http(f"{self.url}/collections")

    def variables(self) -> Mapping[str, str]:
        return {"FAIR_CATALOG": self.url}

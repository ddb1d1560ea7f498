"""A PostgreSQL with pgstac and STAC APIs on it for a benchmark: real servers on loopback that end with the block."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fair_dagster.settings import Settings
from scripts.local_services.home import Home
from scripts.local_services.servers import PGSTAC, Postgres, StacApi
from scripts.local_services.supervisor import Supervisor


class ServersUnavailableError(Exception):
    """The servers cannot be had here; the text says what to install."""


class CatalogServers:
    """Databases and the APIs that serve them."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    @property
    def _postgres(self) -> Postgres:
        found = self._supervisor.services["postgres"]
        if not isinstance(found, Postgres):
            raise TypeError("the service postgres is no PostgreSQL")
        return found

    def database(self, name: str) -> str:
        """The URL of a fresh pgstac database."""
        self._postgres.drop_database(name)
        self._postgres.make_database(name, PGSTAC)
        return self._postgres.dsn(name)

    def drop(self, name: str) -> None:
        """Stop the API of a database and drop it."""
        if f"stac-api-{name}" in self._supervisor.services:
            self._supervisor.stop(f"stac-api-{name}")
        self._postgres.drop_database(name)

    def catalog(self, name: str, home: Path) -> Settings:
        """A fresh catalog: settings that lead to its API and its database."""
        dsn = self.database(name)
        service = StacApi(self._supervisor.home, self._supervisor.machine, name=f"stac-api-{name}")
        service.database = name
        self._supervisor.services[service.name] = service
        self._supervisor.start(service.name)
        return Settings.model_validate({"home": home, "catalog": service.url, "pgstac_dsn": dsn})

    def restart_postgres(self) -> None:
        """End PostgreSQL as a failure would, and start it again."""
        self._supervisor.kill("postgres")
        self._supervisor.start("postgres")


@contextmanager
def catalog_servers() -> Iterator[CatalogServers]:
    """Servers that wait for their disk, as those of a team do.

    Raises:
        ServersUnavailableError: PostgreSQL or the API is not installed and cannot be.
    """
    folder = Path(tempfile.mkdtemp(prefix="fair-benchmark-servers-"))
    # PostgreSQL runs under a user of its own, who has to enter.
    folder.chmod(0o755)
    supervisor = Supervisor(Home(folder / "services"), tied=True)
    try:
        supervisor.home.make()
        lacking = supervisor.install(["postgres", "stac-api"])
        if lacking:
            raise ServersUnavailableError("; ".join(lacking.values()))
        supervisor.start("postgres")
        yield CatalogServers(supervisor)
    finally:
        for name in supervisor.services:
            supervisor.kill(name)
        shutil.rmtree(folder, ignore_errors=True)

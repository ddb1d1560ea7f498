"""Handles of real servers for tests: where they answer, and how they are stopped, killed and started again."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scripts.local_services.servers import ADMIN, S3, Postgres, Redis, Registry, StacApi, ZenMl, s3_variables
from scripts.local_services.service import Service
from scripts.local_services.supervisor import Supervisor

if TYPE_CHECKING:
    import httpx

REQUIRED = "FAIR_REQUIRE_SERVICES"
"""Set where a missing server is a failure, not a skip."""


def unavailable(reason: str) -> None:
    """End a test that needs a server which cannot be had here."""
    if os.environ.get(REQUIRED, "") not in {"", "0"}:
        pytest.fail(f"{REQUIRED} is set, and {reason}", pytrace=False)
    pytest.skip(reason)


class Server:
    """One server of the tests' home. It may be stopped and killed: whoever needs it next starts it again."""

    def __init__(self, supervisor: Supervisor, service: Service) -> None:
        self.supervisor = supervisor
        self.service = service
        supervisor.services[service.name] = service

    @property
    def url(self) -> str:
        """Without credentials."""
        return self.service.url

    @property
    def port(self) -> int:
        return self.service.port

    @property
    def data(self) -> Path:
        return self.service.data

    @property
    def log(self) -> Path:
        return self.service.home.log(self.service.name)

    @property
    def pid(self) -> int:
        """The process that leads the server's group; 0 where it has none."""
        process = self.service.home.process(self.service.name)
        return process.pid if process else 0

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables under which clients find it, credentials included."""
        return self.service.variables()

    def start(self) -> None:
        """See that it answers, at the same port and with the same data as before."""
        self.supervisor.start(self.service.name)

    def stop(self) -> None:
        """End it in order."""
        self.supervisor.stop(self.service.name)

    def kill(self) -> None:
        """End it as a failure of its process would."""
        self.supervisor.kill(self.service.name)

    def restart(self) -> None:
        self.stop()
        self.start()


class PostgresServer(Server):
    """PostgreSQL with pgstac's migrated template."""

    service: Postgres

    def dsn(self, database: str) -> str:
        """The URL for the role that writes the catalog, which may do what it may in a team's database."""
        return self.service.dsn(database)

    def admin_dsn(self, database: str) -> str:
        """The URL for the administrator, who may do everything."""
        return self.service.dsn(database, ADMIN)

    def execute(self, statement: Any, parameters: tuple[object, ...] = (), database: str = "postgres") -> list[Any]:
        """Run one statement as administrator, outside of a transaction, and give its rows."""
        return self.service.execute(statement, parameters, database)

    @contextmanager
    def database(self, name: str, template: str = "") -> Iterator[str]:
        """A fresh database for the time of a block; gives its URL."""
        self.start()
        self.service.drop_database(name)
        self.service.make_database(name, template)
        try:
            yield self.dsn(name)
        finally:
            self.start()
            self.service.drop_database(name)


class StacApis:
    """STAC APIs by database. Each goes on for the session: a database made anew under its name is found again."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._servers: dict[str, Server] = {}

    def __call__(self, dsn: str) -> str:
        """The base URL of a running API on the database."""
        return self.server(dsn).url

    def server(self, dsn: str) -> Server:
        """The API on the database, to be stopped and started."""
        database = dsn.rpartition("/")[2]
        if database not in self._servers:
            service = StacApi(self._supervisor.home, self._supervisor.machine, name=f"stac-api-{database}")
            service.database = database
            self._servers[database] = Server(self._supervisor, service)
        self._servers[database].start()
        return self._servers[database]


class S3Server(Server):
    """rclone: objects are files under ``data``, a folder a bucket."""

    service: S3

    @property
    def endpoint(self) -> str:
        return self.url

    @property
    def access_key(self) -> str:
        return self.service.access_key

    @property
    def secret_key(self) -> str:
        return self.service.secret_key

    def client(self) -> Any:
        """A boto3 client with the server's credentials."""
        return s3_client(self.url, self.access_key, self.secret_key)


class MotoServer(Server):
    """moto: versions, presigned URLs, conditional writes; takes any credentials and forgets all when it stops."""

    access_key = "moto"
    secret_key = "moto-secret"

    @property
    def endpoint(self) -> str:
        return self.url

    @property
    def environment(self) -> Mapping[str, str]:
        return s3_variables(self.url, self.access_key, self.secret_key)

    def client(self) -> Any:
        return s3_client(self.url, self.access_key, self.secret_key)

    def reset(self) -> None:
        """Forget all buckets."""
        self._http().post(f"{self.url}/moto-api/reset").raise_for_status()

    def _http(self) -> "httpx.Client":
        import httpx

        return httpx.Client(trust_env=False)


class ZenMlServer(Server):
    """ZenML with a service account's key, and an administrator."""

    service: ZenMl

    @property
    def api_key(self) -> str:
        return self.environment["ZENML_STORE_API_KEY"]

    @property
    def admin_password(self) -> str:
        """Of the user ``default``."""
        return self.service.secret("admin_password")


class RedisServer(Server):
    """Redis, which asks for a password."""

    service: Redis

    @property
    def client_url(self) -> str:
        """With the password."""
        return self.service.client_url


class RegistryServer(Server):
    """docker-registry; ``username`` and ``password`` are empty where it asks for none."""

    service: Registry

    @property
    def host(self) -> str:
        """Host and port as they stand in the reference of an image."""
        return self.service.address

    @property
    def username(self) -> str:
        return "fair" if self.service.protected else ""

    @property
    def password(self) -> str:
        return self.service.secret("password") if self.service.protected else ""


def s3_client(url: str, access_key: str, secret_key: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )

"""Fixtures of real servers: each is started when the first test of a session asks for it, and ends with the session.

They live in a folder of their own below the system's temporary folder, because PostgreSQL and MariaDB run under users
who may not enter pytest's. Where a server cannot be had the test is skipped by name, or fails where
``FAIR_REQUIRE_SERVICES`` is set.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from scripts.local_services.home import Home
from scripts.local_services.servers import PGSTAC, Registry
from scripts.local_services.supervisor import Supervisor
from tests.services.servers import (
    MotoServer,
    PostgresServer,
    RedisServer,
    RegistryServer,
    S3Server,
    Server,
    StacApis,
    ZenMlServer,
    unavailable,
)


class Services:
    """The tests' servers, which asks the machine for each only once."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self._lacking: dict[str, str] = {}

    def require(self, *names: str) -> None:
        """See that programs are here, installed if need be; end the test where they cannot be had."""
        unknown = [name for name in names if name not in self._lacking]
        if unknown:
            found = self.supervisor.install(unknown)
            self._lacking.update({name: found.get(name, "") for name in unknown})
        reasons = [self._lacking[name] for name in names if self._lacking[name]]
        if reasons:
            unavailable("; ".join(reasons))


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """All servers of this session."""
    folder = Path(tempfile.mkdtemp(prefix="fair-services-"))
    supervisor = Supervisor(Home(folder / "services"), tied=True, durable=False)
    folder.chmod(0o755)
    supervisor.home.make()
    yield Services(supervisor)
    # Nothing of it is needed any more, and ending in order takes some of them many seconds.
    for name in supervisor.services:
        supervisor.kill(name)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_session(services: Services) -> PostgresServer:
    services.require("postgres")
    server = PostgresServer(services.supervisor, services.supervisor.services["postgres"])
    server.start()
    return server


@pytest.fixture
def postgres_server(postgres_session: PostgresServer) -> Iterator[PostgresServer]:
    """PostgreSQL, which a test may stop, kill and restart; it runs again afterwards."""
    postgres_session.start()
    yield postgres_session
    postgres_session.start()


@pytest.fixture
def pgstac_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a fresh pgstac database, copied from a migrated one in 0.1 s and dropped afterwards.

    Its name is the same in all tests: the STAC API that the last test has started serves it too.
    """
    with postgres_server.database("pgstac_test", PGSTAC) as dsn:
        yield dsn


@pytest.fixture
def second_pgstac_database(postgres_server: PostgresServer) -> Iterator[str]:
    """Another one beside it."""
    with postgres_server.database("pgstac_test_second", PGSTAC) as dsn:
        yield dsn


@pytest.fixture
def empty_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a fresh database without pgstac."""
    with postgres_server.database("empty_test") as dsn:
        yield dsn


@pytest.fixture(scope="session")
def stac_api(services: Services, postgres_session: PostgresServer) -> StacApis:
    """Called with the URL of a database, gives the base URL of a STAC API on it, with the Transaction extension."""
    services.require("stac-api")
    return StacApis(services.supervisor)


@pytest.fixture(scope="session")
def s3_session(services: Services) -> S3Server:
    services.require("s3")
    server = S3Server(services.supervisor, services.supervisor.services["s3"])
    server.start()
    return server


@pytest.fixture
def s3_server(s3_session: S3Server) -> Iterator[S3Server]:
    """An S3 server that checks credentials; a test may stop and restart it."""
    s3_session.start()
    yield s3_session
    s3_session.start()


@pytest.fixture
def s3_bucket(s3_server: S3Server) -> Iterator[str]:
    """The name of a fresh bucket on ``s3_server``."""
    name = f"test-{uuid4().hex[:12]}"
    s3_server.client().create_bucket(Bucket=name)
    yield name
    shutil.rmtree(s3_server.data / name, ignore_errors=True)


@pytest.fixture(scope="session")
def moto_session(services: Services) -> MotoServer:
    services.require("moto")
    server = MotoServer(services.supervisor, services.supervisor.services["moto"])
    server.start()
    return server


@pytest.fixture
def moto_server(moto_session: MotoServer) -> MotoServer:
    """An S3 server without buckets that knows versions, presigned URLs and conditional writes."""
    moto_session.start()
    moto_session.reset()
    return moto_session


@pytest.fixture(scope="session")
def redis_session(services: Services) -> RedisServer:
    services.require("redis")
    server = RedisServer(services.supervisor, services.supervisor.services["redis"])
    server.start()
    return server


@pytest.fixture
def redis_server(redis_session: RedisServer) -> Iterator[RedisServer]:
    """Redis, empty."""
    import redis

    redis_session.start()
    redis.Redis.from_url(redis_session.client_url).flushall()
    yield redis_session
    redis_session.start()


@pytest.fixture(scope="session")
def docker_registry(services: Services) -> RegistryServer:
    """A container registry that asks for no password."""
    services.require("registry")
    server = RegistryServer(services.supervisor, services.supervisor.services["registry"])
    server.start()
    return server


@pytest.fixture(scope="session")
def protected_registry(services: Services) -> RegistryServer:
    """A container registry that asks for a user and a password."""
    services.require("registry")
    supervisor = services.supervisor
    service = Registry(supervisor.home, supervisor.machine, name="registry-protected")
    service.protected = True
    server = RegistryServer(supervisor, service)
    server.start()
    return server


@pytest.fixture(scope="session")
def zenml_session(services: Services) -> ZenMlServer:
    services.require("mariadb", "zenml")
    services.supervisor.start("mariadb")
    server = ZenMlServer(services.supervisor, services.supervisor.services["zenml"])
    server.start()
    return server


@pytest.fixture
def zenml_server(zenml_session: ZenMlServer) -> Iterator[ZenMlServer]:
    """A ZenML server on MariaDB, one a session: what earlier tests have made is still there."""
    zenml_session.start()
    yield zenml_session
    zenml_session.start()


@pytest.fixture(scope="session")
def mlflow_server(services: Services) -> Server:
    """An MLflow tracking server, one a session."""
    services.require("mlflow")
    server = Server(services.supervisor, services.supervisor.services["mlflow"])
    server.start()
    return server

"""What several test packages share: data beside the repository, and the one home of everything that uses ZenML."""

import os
from pathlib import Path

import pytest

from tests.isolation import forget_servers

# Fixtures of real servers, for every test; nothing is started before one asks.
from tests.services.fixtures import (  # noqa: F401
    docker_registry,
    empty_database,
    mlflow_server,
    moto_server,
    moto_session,
    pgstac_database,
    postgres_server,
    postgres_session,
    protected_registry,
    redis_server,
    redis_session,
    s3_bucket,
    s3_server,
    s3_session,
    second_pgstac_database,
    services,
    stac_api,
    zenml_server,
    zenml_session,
)


def pytest_configure() -> None:
    forget_servers(os.environ)


SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real imagery with labels, read-only."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the folder ../shared/data with sample imagery is not there")
    return SHARED / "data"


@pytest.fixture(scope="session")
def shared_schemas() -> Path:
    """Copies of the public extension schemas, read-only."""
    if not (SHARED / "schemas").is_dir():
        pytest.skip("the folder ../shared/schemas with copies of the extension schemas is not there")
    return SHARED / "schemas"


@pytest.fixture(scope="session")
def schema_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same copies, or an empty folder where they are not: extensions then count as not checked."""
    found = SHARED / "schemas"
    return found if found.is_dir() else tmp_path_factory.mktemp("schemas")


@pytest.fixture(scope="session")
def zenml_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``FAIR_HOME`` of all tests with a real ZenML, which serves one home a process and takes seconds to set up."""
    return tmp_path_factory.mktemp("installation") / "home"

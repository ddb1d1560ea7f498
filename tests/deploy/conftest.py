"""What tests of deploy/ share."""

import pytest

from scripts.local_services.servers.postgres import ADMIN
from tests.services.servers import PostgresServer


@pytest.fixture
def prepared(postgres_server: PostgresServer) -> dict[str, str]:
    """The variables with which the tests' server was prepared, by this very script."""
    secret = postgres_server.service.secret
    return {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres_server.port),
        "PGUSER": ADMIN,
        "PGPASSWORD": secret(ADMIN),
        "DAGSTER_PG_PASSWORD": secret("dagster"),
        "MLFLOW_DB_PASSWORD": secret("mlflow"),
        "PGSTAC_PASSWORD": secret("fair"),
        "STAC_API_PASSWORD": secret("stac_api"),
    }

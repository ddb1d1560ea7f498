"""Eight processes promote versions of the same families on a real pgstac, also while PostgreSQL is killed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from benchmarks import catalog_load
from fair_dagster.settings import Settings
from tests.services.servers import PostgresServer


@pytest.fixture
def settings(tmp_path: Path, pgstac_database: str, stac_api: Callable[[str], str]) -> Settings:
    return Settings(home=tmp_path / "home", catalog=stac_api(pgstac_database), pgstac_dsn=SecretStr(pgstac_database))


def test_no_promotion_is_lost_and_no_reader_sees_two_active_items(settings: Settings) -> None:
    found = catalog_load.run(settings, seconds=8, clients=8, families=6)
    assert (found["seen"], found["wrong"], found["failures"]) == ([], [], [])
    assert found["unacknowledged"] == 0
    assert found["promotions"] > 0
    assert all(reader["reads"] > 0 for reader in found["readers"])


def test_promotions_outlast_a_restart_of_postgresql(settings: Settings, postgres_server: PostgresServer) -> None:
    def restart() -> None:
        postgres_server.kill()
        postgres_server.start()

    found = catalog_load.run(settings, seconds=6, clients=4, families=6, half_way=restart)
    assert (found["seen"], found["wrong"]) == ([], [])
    assert found["promotions"] > 0
    # A commit that outlived the kill, and that another client had overwritten before its writer could look for it.
    assert found["unacknowledged"] <= 4
    # Most writers go on by themselves. One that does not says why.
    assert found["writers that failed"] < 4
    assert [text for text in found["failures"] if "FAIR_PGSTAC_DSN" not in text and "STAC API" not in text] == []

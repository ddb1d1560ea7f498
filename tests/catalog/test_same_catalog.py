"""An API and a database that are not the same catalog: found out before anything is read or written."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from fair_dagster.catalog.opening import open_store
from fair_dagster.domain.errors import CatalogError
from fair_dagster.flows.moving import export_catalog
from fair_dagster.settings import Settings
from tests.catalog.sets import create

FOREIGN = """
SELECT pgstac.create_collection(
    '{"type": "Collection", "id": "base-models", "stac_version": "1.0.0", "description": "Of another program.",
      "license": "MIT", "links": [], "extent": {"spatial": {"bbox": [[0, 0, 1, 1]]},
      "temporal": {"interval": [[null, null]]}}}'
)
"""
TWO = "are two different catalogs"


@pytest.fixture
def crossed(
    tmp_path: Path, pgstac_database: str, second_pgstac_database: str, stac_api: Callable[[str], str]
) -> Settings:
    """The API of one database, and the DSN of the other."""
    url = stac_api(pgstac_database)
    return Settings(home=tmp_path / "home", catalog=url, pgstac_dsn=SecretStr(second_pgstac_database))


def documents(dsn: str) -> list[tuple[str, str]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute("SELECT id, content::text FROM pgstac.collections ORDER BY id").fetchall()


def test_two_catalogs_that_this_program_has_not_made_stay_as_they_are(
    crossed: Settings, pgstac_database: str, second_pgstac_database: str
) -> None:
    """Neither names itself, so that only a write shows that they are two."""
    for dsn in (pgstac_database, second_pgstac_database):
        with psycopg.connect(dsn) as connection:
            connection.execute(FOREIGN)
    before = documents(second_pgstac_database)
    with pytest.raises(CatalogError, match=f"{TWO}.*nothing was written"):
        open_store(crossed).apply(create("town"))
    assert documents(second_pgstac_database) == before


def test_what_one_holds_is_not_exported_under_the_name_of_the_other(
    crossed: Settings, pgstac_database: str, second_pgstac_database: str, stac_api: Callable[[str], str], tmp_path: Path
) -> None:
    for number, dsn in enumerate((pgstac_database, second_pgstac_database)):
        own = crossed.model_copy(update={"catalog": stac_api(dsn), "pgstac_dsn": SecretStr(dsn)})
        open_store(own).apply(create("town", number + 1))
    with pytest.raises(CatalogError, match=TWO):
        export_catalog(crossed, tmp_path / "out", "empty")
    assert not (tmp_path / "out").exists()

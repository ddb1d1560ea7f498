"""The setting FAIR_PGSTAC_DSN: what is taken, what is refused, and that nobody is told the password."""

import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from fair_dagster.catalog.opening import open_place, stac_store
from fair_dagster.catalog.pgstac.connection import Pgstac
from fair_dagster.domain.errors import CatalogError, RefusedError
from fair_dagster.settings import Settings


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://fair:100%zzs3cret@127.0.0.1:1/stac",
        "postgresql://fair:half/s3cret@127.0.0.1:1/stac",
        "postgresql://fair:s3cret/half@127.0.0.1:1/stac",
        "postgresql://fair:half@s3cret@127.0.0.1:1/stac",
        "postgresql://fair:half@other:s3cret@127.0.0.1:1/stac",
        "postgresql://fair:half s3cret@127.0.0.1:1/stac",
        "postgresql+psycopg://fair:s3cret@127.0.0.1:1/stac",
        "postgresql//fair:s3cret@127.0.0.1:1/stac",
        "host=127.0.0.1 user=fair password=half s3cret dbname=stac",
        "host=127.0.0.1 password='s3cret",
        "s3cret",
    ],
)
def test_a_dsn_that_cannot_be_read_is_refused_without_a_word_of_it(tmp_path: Path, dsn: str) -> None:
    """PostgreSQL's library quotes what it does not understand, which with a typo is the password."""
    settings = Settings(home=tmp_path, catalog="http://127.0.0.1:1", pgstac_dsn=SecretStr(dsn))
    for opening in (stac_store, open_place):
        with pytest.raises(RefusedError, match="FAIR_PGSTAC_DSN was refused") as refused:
            opening(settings)
        assert "s3cret" not in "".join(traceback.format_exception(refused.value))
        assert refused.value.__context__ is None


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://fair:%25%40%2F@127.0.0.1:5432/stac",
        "postgresql://fair:a%23b@[::1]:5432,db.example:5433/stac?sslmode=require",
        "host=/var/run/postgresql user=fair@tenant dbname=stac",
        "",
    ],
)
def test_a_dsn_that_can_be_read_is_taken_in_any_of_its_forms(dsn: str) -> None:
    Pgstac(SecretStr(dsn))


@pytest.mark.parametrize("wrong", ["password", "dbname", "user"])
def test_a_server_that_refuses_the_connection_is_not_asked_again(
    pgstac_database: str, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """As one that is starting is, for half a minute."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    dsn = make_conninfo(pgstac_database, **{wrong: "wr0ng"})
    with pytest.raises(CatalogError, match=r"refuses the connection: .*Correct FAIR_PGSTAC_DSN"):
        Pgstac(SecretStr(dsn)).run(lambda connection, _: None)
    assert waited == []


def test_without_the_driver_it_is_said_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from fair_dagster.catalog.opening import open_store\nfrom fair_dagster.settings import Settings\n"
        "open_store(Settings(catalog='http://127.0.0.1:1', pgstac_dsn='postgresql://127.0.0.1/x'))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "RefusedError" in ended.stderr
    assert "pip install 'fair-dagster[team]'" in ended.stderr

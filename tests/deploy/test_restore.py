"""The backup of the catalog's database, taken and restored by the very commands that the guide gives."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from scripts.local_services.servers.postgres import ADMIN
from tests.deploy.documents import ROOT
from tests.deploy.setting_up import COLLECTION, ITEM, run_setup
from tests.services.servers import PostgresServer

GUIDE = (ROOT / "docs" / "deploying.md").read_text()


@pytest.fixture
def team_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a `pgstac` with an item, in place of the one that other tests are copied from."""
    postgres_server.execute("DROP DATABASE IF EXISTS pgstac_kept WITH (FORCE)")
    # Renamed, not copied: what roles may do in it goes with it.
    postgres_server.execute("ALTER DATABASE pgstac RENAME TO pgstac_kept")
    try:
        postgres_server.service.make_database("pgstac", "pgstac_kept")
        with psycopg.connect(postgres_server.dsn("pgstac"), autocommit=True) as writer:
            writer.execute("SELECT create_collection(%s::jsonb)", [COLLECTION])
            writer.execute("SELECT upsert_items(%s::jsonb)", [f"[{ITEM}]"])
        yield postgres_server.dsn("pgstac")
    finally:
        postgres_server.service.drop_database("pgstac")
        postgres_server.execute("ALTER DATABASE pgstac_kept RENAME TO pgstac")


def _of_the_guide(pattern: str) -> str:
    """A command of the guide, as it is typed where PostgreSQL's programs are."""
    found = re.search(pattern, GUIDE, flags=re.MULTILINE)
    assert found is not None, pattern
    return found[0].replace("docker compose exec -T postgres ", "").replace(" --username postgres", "")


def _shell(command: str, server: PostgresServer, folder: Path) -> None:
    program = server.service.program()
    assert program is not None
    subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env={
            "PATH": f"{program.parent}:/usr/bin:/bin",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(server.port),
            "PGUSER": ADMIN,
            "PGPASSWORD": server.service.secret(ADMIN),
        },
        check=True,
        timeout=150,
    )


def test_a_restored_catalog_is_read_and_written_as_before(
    team_database: str, prepared: dict[str, str], postgres_server: PostgresServer, tmp_path: Path
) -> None:
    _shell(
        _of_the_guide(r"^docker compose exec -T postgres pg_dump .* pgstac > pgstac\.dump"), postgres_server, tmp_path
    )
    postgres_server.service.drop_database("pgstac")
    for command in (
        r"^docker compose exec -T postgres psql .*CREATE DATABASE pgstac'",
        r"^docker compose exec -T postgres pg_restore [^#]*? pgstac$",
    ):
        _shell(_of_the_guide(command), postgres_server, tmp_path)
    done = run_setup("postgres.py", prepared)
    assert done.returncode == 0, done.stderr
    with psycopg.connect(team_database, autocommit=True) as writer:
        assert writer.execute("SELECT id FROM items").fetchall() == [("a",)]
        writer.execute("SELECT upsert_items(%s::jsonb)", [json.dumps([json.loads(ITEM) | {"id": "b"}])])
        writer.execute("SELECT create_collection(%s::jsonb)", [json.dumps(json.loads(COLLECTION) | {"id": "d"})])
    with psycopg.connect(postgres_server.service.dsn("pgstac", "stac_api"), autocommit=True) as reader:
        found = reader.execute(
            "SELECT search(%s::jsonb)", ['{"collections": ["c"], "bbox": [-1, -1, 1, 1]}']
        ).fetchone()
        assert found is not None
        assert {one["id"] for one in found[0]["features"]} == {"a", "b"}
    # A database that was made by hand lets everybody in.
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(postgres_server.service.dsn("pgstac", "dagster"))


def test_a_database_that_lost_its_collections_is_not_called_prepared(
    team_database: str, prepared: dict[str, str], postgres_server: PostgresServer
) -> None:
    postgres_server.execute("DROP TABLE pgstac.collections CASCADE", database="pgstac")
    done = run_setup("postgres.py", prepared)
    assert done.returncode == 1
    assert "the database pgstac lacks the tables collections" in done.stderr
    assert "docs/deploying.md" in done.stderr

"""What prepares the servers, against real ones: it may run twice, says what is wrong, and gives each role no more."""

import psycopg
import pytest

from tests.deploy.setting_up import COLLECTION, ITEM, run_setup
from tests.services.servers import PostgresServer, S3Server, ZenMlServer


def test_each_role_may_do_its_own_and_no_more(postgres_server: PostgresServer, pgstac_database: str) -> None:
    database = psycopg.conninfo.conninfo_to_dict(pgstac_database)["dbname"]
    postgres_server.execute(f"GRANT CONNECT ON DATABASE {database} TO stac_api")
    postgres_server.execute(f"ALTER ROLE stac_api IN DATABASE {database} SET search_path TO pgstac, public")
    with psycopg.connect(pgstac_database, autocommit=True) as writer:
        writer.execute("SELECT create_collection(%s::jsonb)", [COLLECTION])
        writer.execute("SELECT upsert_items(%s::jsonb)", [f"[{ITEM}]"])
        writer.execute("CREATE INDEX IF NOT EXISTS of_ours ON items ((content->'properties'->>'mlm:name'))")
    with psycopg.connect(postgres_server.service.dsn(database, "stac_api"), autocommit=True) as reader:
        found = reader.execute("SELECT search(%s::jsonb)", ['{"collections": ["c"]}']).fetchone()
        assert found is not None
        assert [one["id"] for one in found[0]["features"]] == ["a"]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("DELETE FROM items")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("SELECT upsert_items(%s::jsonb)", [f"[{ITEM}]"])
    with psycopg.connect(postgres_server.service.dsn("dagster", "dagster"), autocommit=True) as owner:
        owner.execute("CREATE TABLE of_its_own (one int)")
        owner.execute("DROP TABLE of_its_own")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(postgres_server.service.dsn("pgstac", "dagster"))


def test_to_prepare_again_changes_nothing(prepared: dict[str, str], postgres_server: PostgresServer) -> None:
    counted = "SELECT count(*) FROM pg_roles UNION ALL SELECT count(*) FROM pg_database"
    before = postgres_server.execute(counted)
    done = run_setup("postgres.py", prepared)
    assert done.returncode == 0, done.stderr
    assert "made" not in done.stdout
    assert "pgstac is at version" in done.stdout
    assert postgres_server.execute(counted) == before
    with psycopg.connect(postgres_server.service.dsn("pgstac", "fair")):
        pass


def test_passwords_that_are_missing_are_all_named(prepared: dict[str, str]) -> None:
    given = {name: value for name, value in prepared.items() if name.startswith("PG") and name != "PGSTAC_PASSWORD"}
    done = run_setup("postgres.py", given)
    assert done.returncode == 1
    assert "DAGSTER_PG_PASSWORD, MLFLOW_DB_PASSWORD, PGSTAC_PASSWORD, STAC_API_PASSWORD" in done.stderr
    assert done.stdout == ""


def test_an_administrator_whom_the_server_does_not_know_is_told_so(prepared: dict[str, str]) -> None:
    done = run_setup("postgres.py", prepared | {"PGUSER": "nobody", "PGPASSWORD": "wrong"})
    assert done.returncode == 1
    assert "was not prepared" in done.stderr
    assert "nobody" in done.stderr
    assert "Traceback" not in done.stderr


def test_buckets_are_made_once(s3_server: S3Server, s3_bucket: str) -> None:
    variables = {
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
        "AWS_ENDPOINT_URL_S3": s3_server.url,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    other = f"{s3_bucket}-other"
    done = run_setup("buckets.py", variables, s3_bucket, other)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"bucket {s3_bucket}: is there", f"bucket {other}: made"]
    assert run_setup("buckets.py", variables, other).stdout == f"bucket {other}: is there\n"
    refused = run_setup("buckets.py", variables | {"AWS_SECRET_ACCESS_KEY": "wrong"}, s3_bucket)
    assert refused.returncode == 1
    assert f"bucket {s3_bucket} cannot be made" in refused.stderr
    s3_server.client().delete_bucket(Bucket=other)


def test_a_key_of_zenml_lets_its_account_in(zenml_server: ZenMlServer) -> None:
    import httpx

    url = zenml_server.url
    variables = {"ZENML_URL": url, "ZENML_USER": "default", "ZENML_PASSWORD": zenml_server.admin_password}
    keys = []
    for _ in range(2):
        done = run_setup("zenml_key.py", variables, "deploy-test")
        assert done.returncode == 0, done.stderr
        variable, _, key = done.stdout.strip().partition("=")
        assert variable == "ZENML_STORE_API_KEY"
        keys.append(key)
    assert keys[0] != keys[1]
    for key in keys:
        assert httpx.post(f"{url}/api/v1/login", data={"password": key}, timeout=30).status_code == 200
    wrong = run_setup("zenml_key.py", variables | {"ZENML_PASSWORD": "wrong"}, "deploy-test")
    assert wrong.returncode == 1
    assert "check ZENML_USER and ZENML_PASSWORD" in wrong.stderr
    assert wrong.stdout == ""

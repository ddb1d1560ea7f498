"""The servers that other tests rely on: fresh, separate, and back after a failure."""

import httpx
import psycopg
import pytest
import redis
from botocore.exceptions import ClientError

from tests.services.servers import (
    MotoServer,
    PostgresServer,
    RedisServer,
    RegistryServer,
    S3Server,
    StacApis,
    s3_client,
)


def _add_collection(dsn: str, name: str) -> None:
    with psycopg.connect(dsn, options="-c search_path=pgstac,public") as connection:
        connection.execute("SELECT create_collection(%s::jsonb)", (f'{{"id": "{name}", "type": "Collection"}}',))


def _collections(url: str) -> list[str]:
    found = httpx.get(f"{url}/collections", trust_env=False).raise_for_status().json()
    return [collection["id"] for collection in found["collections"]]


@pytest.mark.parametrize("name", ["first", "second"])
def test_each_test_gets_an_empty_catalog_and_the_api_follows(
    pgstac_database: str, stac_api: StacApis, name: str
) -> None:
    url = stac_api(pgstac_database)
    assert _collections(url) == []
    _add_collection(pgstac_database, name)
    assert _collections(url) == [name]


def test_two_databases_at_once_have_an_api_each(
    pgstac_database: str, second_pgstac_database: str, stac_api: StacApis
) -> None:
    _add_collection(second_pgstac_database, "other")
    assert _collections(stac_api(pgstac_database)) == []
    assert _collections(stac_api(second_pgstac_database)) == ["other"]


def test_a_killed_database_comes_back_with_what_it_had_acknowledged(
    postgres_server: PostgresServer, pgstac_database: str, stac_api: StacApis
) -> None:
    url = stac_api(pgstac_database)
    _add_collection(pgstac_database, "kept")
    port = postgres_server.port
    postgres_server.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(pgstac_database, connect_timeout=5)
    postgres_server.start()
    assert postgres_server.port == port
    assert _collections(stac_api(pgstac_database)) == ["kept"]
    assert stac_api(pgstac_database) == url


def test_the_api_takes_transactions(pgstac_database: str, stac_api: StacApis) -> None:
    url = stac_api(pgstac_database)
    collection = {
        "id": "made",
        "type": "Collection",
        "stac_version": "1.1.0",
        "description": "made through the API",
        "license": "other",
        "links": [],
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
    }
    httpx.post(f"{url}/collections", json=collection, trust_env=False).raise_for_status()
    assert _collections(url) == ["made"]


def test_an_empty_database_has_no_pgstac(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("SELECT 1 FROM pgstac.collections")


def test_s3_keeps_objects_as_files_and_checks_credentials(s3_server: S3Server, s3_bucket: str) -> None:
    client = s3_server.client()
    client.put_object(Bucket=s3_bucket, Key="a/b", Body=b"bytes")
    assert (s3_server.data / s3_bucket / "a" / "b").read_bytes() == b"bytes"
    s3_server.restart()
    assert client.get_object(Bucket=s3_bucket, Key="a/b")["Body"].read() == b"bytes"
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        s3_client(s3_server.endpoint, s3_server.access_key, "wrong").list_buckets()


@pytest.mark.parametrize("name", ["first", "second"])
def test_moto_knows_versions_and_forgets_between_tests(moto_server: MotoServer, name: str) -> None:
    client = moto_server.client()
    assert client.list_buckets()["Buckets"] == []
    client.create_bucket(Bucket=name)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    assert client.put_object(Bucket=name, Key="key", Body=b"")["VersionId"]


@pytest.mark.parametrize("turn", [1, 2])
def test_redis_is_empty_and_asks_for_a_password(redis_server: RedisServer, turn: int) -> None:
    client = redis.Redis.from_url(redis_server.client_url)
    assert client.keys() == []
    client.set("turn", turn)
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(redis_server.url).ping()


def test_one_registry_is_open_and_one_asks_for_a_password(
    docker_registry: RegistryServer, protected_registry: RegistryServer
) -> None:
    def ping(server: RegistryServer, *auth: str) -> int:
        login = (auth[0], auth[1]) if auth else None
        return httpx.get(f"http://{server.host}/v2/", auth=login, trust_env=False).status_code

    assert ping(docker_registry) == 200
    assert ping(protected_registry) == 401
    assert ping(protected_registry, protected_registry.username, "wrong") == 401
    assert ping(protected_registry, protected_registry.username, protected_registry.password) == 200

"""Where extension schemas come from."""

from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from fair_dagster.catalog.validation.schema_cache import MissingSchemaError, SchemaCache
from fair_dagster.catalog.validation.schemas import KINDS, own_schemas, schema_path
from fair_dagster.domain.errors import ServiceError, UnreachableError

URI = "https://stac-extensions.github.io/colour/v1.0.0/schema.json"


def test_a_schema_is_fetched_once_and_found_by_the_next_process(tmp_path: Path) -> None:
    asked: list[str] = []

    def serve(uri: str) -> bytes:
        asked.append(uri)
        return b'{"type": "object"}'

    cache = SchemaCache(tmp_path / "new", fetcher=serve)
    assert cache.get(URI) == cache.get(f"{URI}#") == {"type": "object"}
    assert asked == [URI]
    assert SchemaCache(tmp_path / "new", offline=True).get(URI) == {"type": "object"}
    assert (tmp_path / "new/colour/v1.0.0/schema.json").is_file()


def test_schemas_of_other_hosts_are_kept_under_their_host(tmp_path: Path) -> None:
    SchemaCache(tmp_path, fetcher=lambda _: b"{}").get("https://example.org/colour/v1.0.0/schema.json")
    assert (tmp_path / "example.org/colour/v1.0.0/schema.json").is_file()


def test_offline_never_fetches(tmp_path: Path) -> None:
    def fail(_: str) -> bytes:
        raise AssertionError

    with pytest.raises(MissingSchemaError, match="FAIR_OFFLINE"):
        SchemaCache(tmp_path, offline=True, fetcher=fail).get(URI)


def test_a_cache_that_cannot_be_written_still_serves(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where the folder should be")
    cache = SchemaCache(blocked / "cache", fetcher=lambda _: b"{}")
    assert cache.get(URI) == {}


@pytest.mark.parametrize("text", [b"<html>", b"[1]", b""])
def test_what_is_no_schema_is_neither_used_nor_kept(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(MissingSchemaError):
        SchemaCache(tmp_path, fetcher=lambda _: text).get(URI)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("uri", ["https://example.org/../../x.json", "not an address", "https://example.org/a?b=c"])
def test_an_address_cannot_leave_the_cache_folder(tmp_path: Path, uri: str) -> None:
    with pytest.raises(MissingSchemaError):
        SchemaCache(tmp_path, fetcher=lambda _: b"{}").get(uri)


def test_a_host_that_gives_no_answer_is_asked_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def away(uri: str) -> bytes:
        asked.append(uri)
        kind = UnreachableError if "away" in uri else ServiceError
        raise kind(f"{uri}: it cannot be had")

    cache = SchemaCache(tmp_path, fetcher=away)
    uris = [f"https://{host}.example.org/{name}.json" for host in ("away", "there") for name in "ab"]
    for uri in uris:
        with pytest.raises(MissingSchemaError):
            cache.get(uri)
    assert asked == [uris[0], *uris[2:]]


def test_our_schemas_are_sound_and_named_by_their_address() -> None:
    for kind in KINDS:
        assert schema_path(kind).is_file()
    for uri, schema in own_schemas().items():
        Draft7Validator.check_schema(schema)
        assert uri.startswith("https://hotosm.github.io/fair-dagster/schemas/")

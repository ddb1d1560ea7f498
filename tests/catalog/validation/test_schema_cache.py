"""Where extension schemas come from, and what keeps fetching safe."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from fair_dagster.catalog.validation.schema_cache import MissingSchemaError, SchemaCache
from fair_dagster.catalog.validation.schemas import KINDS, own_schemas, schema_path
from fair_dagster.domain.errors import ServiceError
from fair_dagster.net import addresses, documents

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


@pytest.mark.parametrize(
    "url", ["http://example.org/a.json", "file:///etc/passwd", "ftp://example.org/a", "https:///a.json"]
)
def test_only_https_is_fetched(url: str) -> None:
    with pytest.raises(ServiceError, match="only https"):
        documents.fetch(url)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[::1]", "192.168.1.1"])
def test_private_addresses_are_never_asked(host: str) -> None:
    with pytest.raises(ServiceError, match="not a public address"):
        documents.fetch(f"https://{host}/schema.json", max_seconds=2)


def test_a_name_that_resolves_to_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "resolved", lambda *_: ["93.184.216.34", "10.0.0.7"])
    with pytest.raises(ServiceError, match=r"10\.0\.0\.7 is not a public address"):
        documents.fetch("https://example.org/schema.json")


class _Endless(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/big" else 302)
        self.send_header("Location", "/big")
        self.end_headers()
        try:
            for _ in range(100):
                self.wfile.write(b"x" * 1000)
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        return


def test_large_answers_and_redirects_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    server = HTTPServer(("127.0.0.1", 0), _Endless)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # The safety of the address is tested above; here the way to a local server is opened.
    monkeypatch.setattr(documents, "public_address", lambda *_: "127.0.0.1")
    stream = httpx.Client.stream

    def plain(client: httpx.Client, method: str, url: httpx.URL, **rest: object) -> object:
        return stream(client, method, url.copy_with(scheme="http", port=server.server_port), **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(httpx.Client, "stream", plain)
    try:
        with pytest.raises(ServiceError, match="larger than 5000 bytes"):
            documents.fetch("https://example.org/big", max_bytes=5000)
        with pytest.raises(ServiceError, match="answered 302"):
            documents.fetch("https://example.org/elsewhere")
        assert len(documents.fetch("https://example.org/big")) == 100_000
    finally:
        server.shutdown()


def test_our_schemas_are_sound_and_named_by_their_address() -> None:
    for kind in KINDS:
        assert schema_path(kind).is_file()
    for uri, schema in own_schemas().items():
        Draft7Validator.check_schema(schema)
        assert uri.startswith("https://hotosm.github.io/fair-dagster/schemas/")

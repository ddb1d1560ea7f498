"""Copies of what lies behind URLs: rules, limits, checksums, and processes that want the same at once."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.domain.errors import StorageError
from fair_dagster.domain.items.artifacts import Told
from fair_dagster.settings import Settings
from fair_dagster.storage.cache import local_copy
from fair_dagster.storage.local import LocalArtifacts, describe_content

WEIGHTS = b"weights" * 1000
CHECKSUM = describe_content(WEIGHTS).checksum
TOLD = Told(checksum=CHECKSUM)


class _Files(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/weights.bin")
            return self.end_headers()
        if self.path == "/circle":
            self.send_response(302)
            self.send_header("Location", "/circle")
            return self.end_headers()
        if self.headers.get("If-None-Match") == self.server.etag:
            self.send_response(304)
            return self.end_headers()
        if self.path == "/gone":
            self.send_response(404)
            return self.end_headers()
        self.send_response(200)
        self.send_header("ETag", self.server.etag)
        self.send_header("Content-Length", str(len(self.server.content) + (5 if self.path == "/short" else 0)))
        self.end_headers()
        if self.path == "/dripping":
            with suppress(OSError):
                for byte in WEIGHTS[:400]:
                    self.wfile.write(bytes([byte]))
                    self.server.dripped += 1
                    threading.Event().wait(0.05)
            return None
        self.server.sent += 1
        self.wfile.write(self.server.content)
        return None

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def _serving() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    server.asked = []
    server.content, server.etag, server.sent = WEIGHTS, '"1"', 0
    server.dripped = 0
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def server() -> Iterator[Any]:
    with _serving() as found:
        yield found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", fetch_private=True)


@pytest.fixture
def store(settings: Settings) -> LocalArtifacts:
    return LocalArtifacts(settings.artifacts_path)


def _url(server: Any, path: str) -> str:
    return f"http://127.0.0.1:{server.server_port}/{path}"


def _kept(settings: Settings) -> list[str]:
    return [path.name for path in settings.cache_path.rglob("*") if path.is_file() and path.name != ".lock"]


@pytest.mark.parametrize("path", ["weights.bin", "moved"])
def test_a_file_with_a_checksum_is_fetched_once(
    server: Any, settings: Settings, store: LocalArtifacts, path: str
) -> None:
    copies = {local_copy(settings, store, _url(server, path), TOLD) for _ in range(2)}

    (copy,) = copies
    assert copy.read_bytes() == WEIGHTS
    assert server.asked.count(f"/{path}") == 1


def test_a_copy_that_was_damaged_is_fetched_again(server: Any, settings: Settings, store: LocalArtifacts) -> None:
    copy = local_copy(settings, store, _url(server, "weights.bin"), TOLD)
    copy.write_bytes(b"damaged")

    assert local_copy(settings, store, _url(server, "weights.bin"), TOLD).read_bytes() == WEIGHTS


def test_a_file_without_a_checksum_is_asked_for_again_and_sent_once(
    server: Any, settings: Settings, store: LocalArtifacts
) -> None:
    for _ in range(2):
        assert local_copy(settings, store, _url(server, "weights.bin")).read_bytes() == WEIGHTS
    assert len(server.asked) == 2
    assert server.sent == 1


def test_a_path_that_was_given_goes_on_holding_what_it_held(
    server: Any, settings: Settings, store: LocalArtifacts
) -> None:
    given = local_copy(settings, store, _url(server, "weights.bin"))
    server.content, server.etag = b"others", '"2"'

    assert local_copy(settings, store, _url(server, "weights.bin")).read_bytes() == b"others"
    assert given.read_bytes() == WEIGHTS


def test_a_copy_without_a_checksum_that_was_damaged_is_fetched_again(
    server: Any, settings: Settings, store: LocalArtifacts
) -> None:
    local_copy(settings, store, _url(server, "weights.bin")).write_bytes(b"damaged")
    assert local_copy(settings, store, _url(server, "weights.bin")).read_bytes() == WEIGHTS


def test_another_size_than_the_item_says_is_refused_and_not_kept(
    server: Any, settings: Settings, store: LocalArtifacts
) -> None:
    for told in (Told(6999), Told(6999, CHECKSUM)):
        with pytest.raises(StorageError, match="has 7,000 bytes, and its item says 6,999"):
            local_copy(settings, store, _url(server, "weights.bin"), told)
        assert _kept(settings) == []
    local_copy(settings, store, _url(server, "weights.bin"), Told(7000))
    with pytest.raises(StorageError, match="its item says 6,999"):
        local_copy(settings, store, _url(server, "weights.bin"), Told(6999))


def test_another_content_than_the_item_says_is_refused_and_not_kept(
    server: Any, settings: Settings, store: LocalArtifacts
) -> None:
    with pytest.raises(StorageError, match="its item says 1220"):
        local_copy(settings, store, _url(server, "weights.bin"), Told(checksum="1220" + "0" * 64))
    assert _kept(settings) == []


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("gone", "the server answered 404"),
        ("circle", "redirected more than 5 times"),
        ("short", "breaks off in the middle"),
    ],
)
@pytest.mark.parametrize("told", [TOLD, Told()])
def test_what_a_server_does_not_give_whole_is_not_kept(  # noqa: PLR0917
    server: Any, settings: Settings, store: LocalArtifacts, path: str, reason: str, told: Told
) -> None:
    with pytest.raises(StorageError, match=reason):
        local_copy(settings, store, _url(server, path), told)
    assert _kept(settings) == []


def test_what_is_larger_than_allowed_is_not_fetched(server: Any, tmp_path: Path, store: LocalArtifacts) -> None:
    settings = Settings(home=tmp_path / "home", fetch_private=True, fetch_max_bytes=1000)
    with pytest.raises(StorageError, match=r"larger than FAIR_FETCH_MAX_BYTES \(1,000\)"):
        local_copy(settings, store, _url(server, "weights.bin"), TOLD)
    assert _kept(settings) == []


def test_a_server_that_drips_is_held_to_the_limit_of_time(server: Any, tmp_path: Path, store: LocalArtifacts) -> None:
    settings = Settings(home=tmp_path / "home", fetch_private=True, fetch_seconds=1)
    with pytest.raises(StorageError, match=r"took longer than FAIR_FETCH_SECONDS \(1\)"):
        local_copy(settings, store, _url(server, "dripping"), TOLD)
    assert server.dripped < 400
    assert _kept(settings) == []


@pytest.mark.parametrize(
    ("href", "reason"),
    [
        ("http://example.org/weights.bin", "only https"),
        ("https://127.0.0.1/weights.bin", "not a public address.*FAIR_FETCH_PRIVATE"),
        ("https://[::1]/weights.bin", "not a public address"),
        ("https://169.254.169.254/latest/meta-data", "not a public address"),
        ("https://user:secret@example.org/weights.bin", "without a user name"),
        ("ftp://example.org/weights.bin", "only https"),
    ],
)
def test_addresses_that_no_item_may_lead_to_are_not_connected(
    tmp_path: Path, store: LocalArtifacts, href: str, reason: str
) -> None:
    with pytest.raises(StorageError, match=reason) as caught:
        local_copy(Settings(home=tmp_path / "home"), store, href, TOLD)
    assert "secret" not in str(caught.value)


def test_many_that_want_the_same_at_once_fetch_it_once(server: Any, settings: Settings, store: LocalArtifacts) -> None:
    with ThreadPoolExecutor(8) as pool:
        copies = set(pool.map(lambda _: local_copy(settings, store, _url(server, "weights.bin"), TOLD), range(8)))

    assert len(copies) == 1
    assert len(server.asked) == 1


def test_what_lies_here_is_used_where_it_lies(settings: Settings, store: LocalArtifacts, tmp_path: Path) -> None:
    path = tmp_path / "a b.onnx"
    path.write_bytes(WEIGHTS)
    assert local_copy(settings, store, str(path)) == path
    assert local_copy(settings, store, path.as_uri()) == path

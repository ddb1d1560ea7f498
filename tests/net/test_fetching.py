"""Guarded requests: where they go, under which name, and what they may cost."""

import socket
import time
from pathlib import Path

import pytest

from fair_dagster.domain.errors import ServiceError, StorageError, UnreachableError
from fair_dagster.net import addresses
from fair_dagster.net.fetching import Limits, fetch_document, fetch_file
from tests.net.conftest import Site

LIMITS = Limits(max_bytes=1_000_000, max_seconds=10)


def test_a_server_is_asked_by_its_name_at_the_address_that_was_looked_at(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name resolves to nothing any more when the connection is made: nobody looks it up a second time."""

    def fails(host: str, *rest: object, **named: object) -> object:
        assert host == "127.0.0.1", f"{host} was resolved again"
        return found(host, *rest, **named)  # type: ignore[arg-type]

    found = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", fails)
    assert len(fetch_document(site.url("/big"))) == 100_000
    assert site.names == ["example.org"]
    assert site.asked == [(f"example.org:{site.server_port}", "/big")]


def test_a_certificate_of_another_name_is_refused(site: Site) -> None:
    with pytest.raises(UnreachableError, match="certificate verify failed"):
        fetch_document(site.url("/big", host="example.com"))
    assert site.asked == []


@pytest.mark.parametrize(
    "url", ["http://example.org/a.json", "file:///etc/passwd", "ftp://example.org/a", "https:///a.json"]
)
def test_only_https_is_fetched(url: str) -> None:
    with pytest.raises(ServiceError, match="only https"):
        fetch_document(url)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[::1]", "192.168.1.1"])
def test_private_addresses_are_never_asked(host: str) -> None:
    with pytest.raises(ServiceError, match="not a public address"):
        fetch_document(f"https://{host}/schema.json", max_seconds=2)


def test_a_name_that_resolves_to_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "resolve", lambda *_: ["93.184.216.34", "10.0.0.7"])
    with pytest.raises(ServiceError, match=r"10\.0\.0\.7 is not a public address"):
        fetch_document("https://example.org/schema.json")


def test_large_answers_and_redirects_of_documents_are_refused(site: Site) -> None:
    with pytest.raises(ServiceError, match="larger than 5000 bytes"):
        fetch_document(site.url("/big"), max_bytes=5000)
    with pytest.raises(ServiceError, match="answered 302"):
        fetch_document(site.url("/elsewhere"))


def test_a_document_that_drips_is_given_up_in_time(site: Site) -> None:
    start = time.monotonic()
    with pytest.raises(UnreachableError, match="took too long"):
        fetch_document(site.url("/dripping"), max_seconds=1)
    assert time.monotonic() - start < 5


def test_a_file_is_followed_to_where_it_has_moved(site: Site, tmp_path: Path) -> None:
    found = fetch_file(site.url("/elsewhere"), tmp_path / "file", LIMITS)
    assert found is not None
    assert found.size == (tmp_path / "file").stat().st_size == 100_000
    assert [path for _, path in site.asked] == ["/elsewhere", "/big"]


def test_a_file_that_is_cut_short_is_an_error(site: Site, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="breaks off in the middle"):
        fetch_file(site.url("/short"), tmp_path / "file", LIMITS)

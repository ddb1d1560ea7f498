"""Copies of what lies in buckets that somebody else keeps: read once, public ones without keys, clear errors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.domain.errors import StorageError
from fair_dagster.domain.items.artifacts import Told
from fair_dagster.settings import Settings
from fair_dagster.storage.cache import local_copy
from fair_dagster.storage.local import LocalArtifacts, describe_content
from tests.storage.s3.faulty import FaultyProxy

WEIGHTS = b"weights" * 1000
MakeSettings = Callable[..., Settings]


@pytest.fixture
def fetched(settings_of: MakeSettings, proxy: FaultyProxy, s3_bucket: str) -> Callable[..., Path]:
    """A local copy of a key of the bucket, for an installation that keeps its artifacts in a folder."""

    def copy(key: str, told: Told | None = None) -> Path:
        settings = settings_of(artifacts="", s3_endpoint=proxy.url)
        return local_copy(settings, LocalArtifacts(settings.artifacts_path), f"s3://{s3_bucket}/{key}", told or Told())

    return copy


def _put(s3_server: Any, bucket: str, **objects: bytes) -> None:
    for name, content in objects.items():
        s3_server.client().put_object(Bucket=bucket, Key=f"town/{name}", Body=content)


def _read(proxy: FaultyProxy) -> list[str]:
    """The objects that were read since it was asked before, without notes and listings."""
    paths = [line.removeprefix("GET ") for line in proxy.requests if line.startswith("GET ") and "/town/" in line]
    proxy.requests.clear()
    return sorted(path.split("?")[0].rpartition("/")[2] for path in paths if "manifest.json" not in path)


def test_what_nobody_noted_anything_of_is_read_once_until_it_changes(
    fetched: Callable[..., Path], proxy: FaultyProxy, s3_server: Any, s3_bucket: str
) -> None:
    _put(s3_server, s3_bucket, a=b"first", b=b"second")
    for key, names in (("town", ["a", "b"]), ("town/a", ["a"])):
        copy = fetched(key)
        assert _read(proxy) == names
        assert fetched(key) == copy
        assert _read(proxy) == []

    given = fetched("town/a")
    _put(s3_server, s3_bucket, a=b"other")
    assert fetched("town/a").read_bytes() == b"other"
    assert given.read_bytes() == b"first"


def test_an_object_that_is_not_what_its_item_says_is_refused(
    fetched: Callable[..., Path], s3_server: Any, s3_bucket: str
) -> None:
    _put(s3_server, s3_bucket, weights=WEIGHTS)
    told = Told(len(WEIGHTS), describe_content(WEIGHTS).checksum)
    copy = fetched("town/weights", told)
    for cut in (WEIGHTS[:-1], WEIGHTS[:-1] + b"?"):
        copy.unlink(missing_ok=True)
        _put(s3_server, s3_bucket, weights=cut)
        with pytest.raises(StorageError, match=r"town/weights has .*, and its item says"):
            fetched("town/weights", told)
        assert not copy.exists()
    s3_server.client().delete_object(Bucket=s3_bucket, Key="town/weights")
    with pytest.raises(StorageError, match="town/weights is not there"):
        fetched("town/weights", told)


def test_an_object_without_rights_to_what_lies_beside_it_can_be_fetched(
    fetched: Callable[..., Path], proxy: FaultyProxy, s3_server: Any, s3_bucket: str
) -> None:
    """S3 answers 403 for what is not there to whoever may not list: so of the note beside an object."""
    _put(s3_server, s3_bucket, weights=WEIGHTS)
    proxy.denied = ".manifest.json"
    assert fetched("town/weights").read_bytes() == WEIGHTS


def test_a_public_bucket_is_read_without_keys(
    moto_server: Any, settings_of: MakeSettings, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = moto_server.client()
    client.create_bucket(Bucket="public", ACL="public-read")
    client.put_object(Bucket="public", Key="w.bin", Body=WEIGHTS, ACL="public-read")
    proxy.target, proxy.denied = moto_server.endpoint.removeprefix("http://"), "/secret.bin"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    settings = settings_of(artifacts="", s3_endpoint=proxy.url)
    store = LocalArtifacts(settings.artifacts_path)

    assert local_copy(settings, store, "s3://public/w.bin").read_bytes() == WEIGHTS
    with pytest.raises(StorageError, match="there are no credentials, and 'public' is not public or does not hold it"):
        local_copy(settings, store, "s3://public/secret.bin")

"""Buckets on the session's S3 server, and what stands between."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.settings import Settings
from fair_dagster.storage.local import LocalArtifacts
from fair_dagster.storage.opening import open_artifacts
from fair_dagster.storage.s3.store import S3Artifacts
from fair_dagster.storage.store import ArtifactStore
from tests.storage.s3.faulty import FaultyProxy, faulty_proxy

Bucket = Callable[..., S3Artifacts]


@pytest.fixture
def settings_of(
    s3_server: Any, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Settings]:
    """Settings with a fresh bucket; what is given wins."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def made(**given: Any) -> Settings:
        values = {"artifacts": f"s3://{s3_bucket}/team/artifacts", "s3_endpoint": s3_server.endpoint}
        return Settings(**({"home": tmp_path / "home", "s3_path_style": True} | values | given))

    return made


@pytest.fixture
def bucket(settings_of: Callable[..., Settings]) -> Bucket:
    """Opens the store of a fresh bucket; arguments are settings."""

    def opened(**given: Any) -> S3Artifacts:
        store = open_artifacts(settings_of(**given))
        assert isinstance(store, S3Artifacts)
        return store

    return opened


@pytest.fixture
def objects(s3_server: Any, s3_bucket: str) -> Callable[[], dict[str, Path]]:
    """The objects of the bucket as the files that the server keeps, by key."""

    def listed() -> dict[str, Path]:
        root = s3_server.data / s3_bucket
        return {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}

    return listed


@pytest.fixture
def proxy(s3_server: Any) -> Iterator[FaultyProxy]:
    with faulty_proxy(s3_server.endpoint) as found:
        yield found


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    """A store of each kind."""
    if request.param == "folder":
        return LocalArtifacts(tmp_path / "store")
    opened: Bucket = request.getfixturevalue("bucket")
    return opened()

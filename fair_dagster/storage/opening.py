"""Which artifact store the settings name. What a store can do stands in ``store``."""

from urllib.parse import urlsplit

from fair_dagster.domain.errors import StorageError
from fair_dagster.domain.urls import has_credentials
from fair_dagster.settings import Settings
from fair_dagster.storage.local import LocalArtifacts
from fair_dagster.storage.store import ArtifactStore, split_s3


def open_artifacts(settings: Settings) -> ArtifactStore:
    """The store that ``FAIR_ARTIFACTS`` names. Nothing is connected or made yet.

    Raises:
        StorageError: the setting names no place that can be used.
    """
    base = public_base(settings.artifacts_url)
    if "://" not in settings.artifacts:
        return LocalArtifacts(settings.artifacts_path, base)
    bucket, prefix = split_s3(settings.artifacts)
    return open_bucket(settings, bucket, prefix, base)


def open_bucket(settings: Settings, bucket: str, prefix: str = "", base: str = "") -> ArtifactStore:
    """A bucket of the S3 server that the settings name."""
    from fair_dagster.storage.s3.client import open_client
    from fair_dagster.storage.s3.store import S3Artifacts

    return S3Artifacts(open_client(settings), bucket, prefix, base)


def open_foreign_bucket(settings: Settings, bucket: str) -> ArtifactStore:
    """A bucket of that server which somebody else keeps, to be read; without credentials, as everybody may."""
    from fair_dagster.storage.s3.client import open_client
    from fair_dagster.storage.s3.store import S3Artifacts

    return S3Artifacts(open_client(settings, is_foreign=True), bucket, is_foreign=True)


def public_base(url: str) -> str:
    """``FAIR_ARTIFACTS_URL`` without a slash at its end.

    Raises:
        StorageError: it is no plain http URL, or holds a password, which would stand in every item.
    """
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment):
        raise StorageError(
            "FAIR_ARTIFACTS_URL must be a URL like https://models.example.org/artifacts, without ? and #"
        )
    if has_credentials(url):
        raise StorageError("FAIR_ARTIFACTS_URL holds a user name or password, which would stand in every item")
    return url.rstrip("/")

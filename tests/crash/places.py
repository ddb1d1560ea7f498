"""Where catalog, artifacts and ZenML of the crash tests are kept, and how each is set back to what it was.

Setting back takes a fraction of a second: so each process that is killed finds the same beginning.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.services.servers import PostgresServer, S3Server


class Place(Protocol):
    """One of them."""

    @property
    def settings(self) -> Mapping[str, Any]: ...

    @property
    def environment(self) -> Mapping[str, str]: ...

    def keep(self) -> None:
        """Remember what there is."""

    def reset(self) -> None:
        """Have what was remembered again."""


@dataclass(frozen=True)
class Folder:
    """Files of the home. Folders under ``kept`` hold the copy."""

    path: Path
    kept: Path
    settings: Mapping[str, Any]
    environment: Mapping[str, str]

    def keep(self) -> None:
        shutil.rmtree(self.kept, ignore_errors=True)
        _copied(self.path, self.kept)

    def reset(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        _copied(self.kept, self.path)


def _copied(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    if source.exists():
        shutil.copytree(source, target, dirs_exist_ok=True)


@dataclass(frozen=True)
class Database:
    """A pgstac database with an API on it; written by SQL where the settings name it, else through the API."""

    server: PostgresServer
    name: str
    settings: Mapping[str, Any]
    environment: Mapping[str, str]

    @property
    def kept(self) -> str:
        return f"{self.name}_kept"

    def keep(self) -> None:
        service = self.server.service
        service.drop_database(self.kept)
        # A template may have no clients, and the API comes back at once.
        self.server.execute(f'ALTER DATABASE "{self.name}" ALLOW_CONNECTIONS false')
        self.server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (self.name,))
        try:
            service.make_database(self.kept, self.name)
        finally:
            self.server.execute(f'ALTER DATABASE "{self.name}" ALLOW_CONNECTIONS true')

    def reset(self) -> None:
        self.server.service.drop_database(self.name)
        self.server.service.make_database(self.name, self.kept)

    def forget(self) -> None:
        self.server.service.drop_database(self.kept)


class Bucket:
    """A bucket. What is written only once need not be copied: what came since is removed, and uploads are aborted."""

    def __init__(
        self, server: S3Server, name: str, settings: Mapping[str, Any], environment: Mapping[str, str]
    ) -> None:
        self._client = server.client()
        self._name = name
        self.settings = settings
        self.environment = environment
        self._kept: dict[str, str] = {}

    def keep(self) -> None:
        self._kept = self._listed()

    def reset(self) -> None:
        from botocore.exceptions import ClientError

        now = self._listed()
        if changed := {key for key, etag in self._kept.items() if now.get(key) != etag}:
            raise AssertionError(f"published files were changed or lost: {sorted(changed)}")
        for key in now.keys() - self._kept.keys():
            self._client.delete_object(Bucket=self._name, Key=key)
        try:
            uploads = self._client.list_multipart_uploads(Bucket=self._name).get("Uploads", ())
        except ClientError:
            uploads = ()  # rclone's answer for none at all.
        for one in uploads:
            self._client.abort_multipart_upload(Bucket=self._name, Key=one["Key"], UploadId=one["UploadId"])

    def _listed(self) -> dict[str, str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name)
        return {one["Key"]: one["ETag"] for page in pages for one in page.get("Contents", ())}


@dataclass(frozen=True)
class World:
    """All places of one installation together."""

    places: Sequence[Place]

    @property
    def settings(self) -> dict[str, Any]:
        return {name: value for place in self.places for name, value in place.settings.items()}

    @property
    def environment(self) -> dict[str, str]:
        return {name: value for place in self.places for name, value in place.environment.items()}

    def keep(self) -> None:
        for place in self.places:
            place.keep()

    def reset(self) -> None:
        for place in self.places:
            place.reset()

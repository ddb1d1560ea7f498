"""Artifacts in an S3 bucket: an object a file, with a note of checksums beside each artifact that is written last.

How bytes travel stands in ``s3_transfer``, what the notes say in ``manifests``, the client in ``s3_client``.

See docs/decisions/0023.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from fair_dagster.domain.errors import StorageError, StoreRefusesError
from fair_dagster.domain.items.artifacts import PublishedArtifact, multihash
from fair_dagster.storage.local import describe, files_of
from fair_dagster.storage.s3 import transfer
from fair_dagster.storage.s3.client import ABSENT, error_code, is_denied, s3_errors
from fair_dagster.storage.s3.manifests import Manifest, StoredFile, is_hidden, is_relative, load, manifest_key, state_of
from fair_dagster.storage.s3.transfer import Place
from fair_dagster.storage.store import Seen, Unfinished, key_below, require_key, url_of

_SMALL_FILES = 8
"""Transfers at a time of a folder's files."""
_DELETED_AT_ONCE = 1000
_DOCUMENT = 16 << 20

T = TypeVar("T")
R = TypeVar("R")


class S3Artifacts:
    """Artifacts below ``s3://<bucket>/<prefix>``.

    Args:
        client: boto3's.
        base: URL under which the same objects can be read by everybody; empty when there is none.
        is_foreign: somebody else keeps the bucket, and may show its artifacts and nothing beside them.
    """

    def __init__(self, client: Any, bucket: str, prefix: str = "", base: str = "", *, is_foreign: bool = False) -> None:
        self._client = client
        self._bucket = bucket
        self._root = f"{prefix}/" if prefix else ""
        self._base = base
        self._is_foreign = is_foreign

    def href(self, key: str) -> str:
        return url_of(self._base, require_key(key)) if self._base else self.place(key)

    def key_of(self, href: str) -> str | None:
        found = key_below(href, f"s3://{self._bucket}/{self._root}".rstrip("/"))
        return found if found is not None else key_below(href, self._base, quoted=True)

    def place(self, key: str) -> str:
        return str(self._place(key))

    def publish(self, source: Path, key: str, files: Sequence[Path] | None = None) -> PublishedArtifact:
        listed = self._listed(key)
        if listed:
            wanted, noted = describe(source, files), self._manifest(key)
            if not noted.unread(listed) and noted.seen.is_as(wanted) and set(noted.files) == set(listed):
                return self._published(key, noted.seen)
        # Nothing is cleared away when this fails: another may have published the same meanwhile.
        return self.restore(source, key, files)

    def restore(self, source: Path, key: str, files: Sequence[Path] | None = None) -> PublishedArtifact:
        key = require_key(key)
        with s3_errors(self._client, f"copy {source} to {self.place(key)}", self._bucket):
            if source.is_dir():
                sent = self._send_folder(source, key, files)
            else:
                sent = {"": transfer.upload(source, self._place(key))}
            self._delete(self._object(key, name) for name in self._objects(key) if name not in sent)
            manifest = Manifest(sent)
            transfer.put(manifest.dump(), self._place(manifest_key(key)))
        return self._published(key, manifest.seen)

    def _send_folder(self, source: Path, key: str, files: Sequence[Path] | None) -> dict[str, StoredFile]:
        found = files_of(source, files)
        places = {name: self._place(f"{key}/{name}") for name in found}
        sent = _each(found.items(), lambda entry: (entry[0], transfer.upload(entry[1], places[entry[0]])))
        return dict(sent)

    def write(self, content: bytes, key: str) -> PublishedArtifact:
        key = require_key(key)
        with s3_errors(self._client, f"write {self.place(key)}", self._bucket):
            sent = transfer.put(content, self._place(key))
            if not PurePosixPath(key).name.startswith("."):
                transfer.put(Manifest({"": sent}).dump(), self._place(manifest_key(key)))
        return self._published(key, Seen(sent.size, multihash(sent.sha256)))

    def read(self, key: str) -> bytes | None:
        from botocore.exceptions import ClientError

        place = self._place(key)
        with s3_errors(self._client, f"read {place}", self._bucket):
            try:
                answer = self._client.get_object(**place.name)
            except ClientError as error:
                if error_code(error) in ABSENT:
                    return None
                raise
            with closing(answer["Body"]) as body:
                if int(answer["ContentLength"]) > _DOCUMENT:
                    raise StorageError(f"{place} is too large for what should be a small document")
                content: bytes = body.read()
        return content

    def fetch(self, key: str, target: Path) -> PublishedArtifact:
        listed = self._listed(key)
        if not listed:
            raise StorageError(f"{self.place(key)} is not there")
        with s3_errors(self._client, f"fetch {self.place(key)}", self._bucket):

            def one(name: str) -> tuple[str, StoredFile]:
                return name, transfer.download(
                    Place(self._client, self._bucket, self._object(key, name)), target / name if name else target
                )

            fetched = dict(_each(listed, one))
        return self._published(key, Manifest(fetched).seen)

    def size(self, key: str) -> int | None:
        listed = self._listed(key)
        return sum(file.size for file in listed.values()) if listed else None

    def look(self, key: str, *, read: bool = True) -> Seen | None:
        listed = self._listed(key)
        if not listed:
            return None
        noted = Manifest({}) if read else self._noted(key)
        if not read and not noted.files:
            return Seen(sum(file.size for file in listed.values()), state=state_of(listed))
        with s3_errors(self._client, f"read {self.place(key)}", self._bucket):

            def one(name: str) -> tuple[str, str]:
                place = Place(self._client, self._bucket, self._object(key, name))
                return name, transfer.sha256_of(place, listed[name])

            fresh = dict(_each(noted.unread(listed), one))
        return replace(noted.with_checksums(listed, fresh).seen, state=state_of(listed))

    def remove(self, prefix: str) -> None:
        prefix = require_key(prefix)
        with s3_errors(self._client, f"remove {self.place(prefix)}", self._bucket):
            below = (found["Key"] for found in self._list(f"{self._root}{prefix}/"))
            self._delete([*below, f"{self._root}{prefix}", f"{self._root}{manifest_key(prefix)}"])

    def age(self, prefix: str) -> float | None:
        with s3_errors(self._client, f"list {self.place(prefix)}", self._bucket):
            written = [found["LastModified"] for found in self._list(f"{self._root}{require_key(prefix)}/")]
        return (datetime.now(UTC) - max(written)).total_seconds() if written else None

    def prefixes(self, under: str) -> list[str]:
        root = f"{self._root}{require_key(under)}/"
        with s3_errors(self._client, f"list {self.place(under)}", self._bucket):
            pages = self._pages("list_objects_v2", Prefix=root, Delimiter="/")
            found = [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", ())]
        return sorted(prefix.removeprefix(self._root).rstrip("/") for prefix in found)

    def unfinished(self) -> list[Unfinished]:
        from botocore.exceptions import ClientError

        with s3_errors(self._client, f"list uploads to s3://{self._bucket}", self._bucket):
            try:
                pages = self._pages("list_multipart_uploads", Prefix=self._root)
                found = [one for page in pages for one in page.get("Uploads", ())]
            except ClientError as error:
                # rclone's answer for a bucket that nothing was ever uploaded to in parts.
                if error_code(error) != "NoSuchUpload":
                    raise
                found = []
        return [
            Unfinished(str(one["Key"]).removeprefix(self._root), one["Initiated"], f"{one['UploadId']} {one['Key']}")
            for one in found
            if str(one["Key"]).startswith(self._root)
        ]

    def discard(self, token: str) -> None:
        from botocore.exceptions import ClientError

        upload, _, key = token.partition(" ")
        with s3_errors(self._client, f"abort the upload to s3://{self._bucket}/{key}", self._bucket):
            try:
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)
            except ClientError as error:
                if error_code(error) not in ABSENT | {"NoSuchUpload"}:
                    raise

    def _published(self, key: str, seen: Seen) -> PublishedArtifact:
        return PublishedArtifact(self.href(key), seen.size, str(seen.checksum))

    def _place(self, key: str) -> Place:
        return Place(self._client, self._bucket, f"{self._root}{require_key(key)}")

    def _object(self, key: str, name: str) -> str:
        return f"{self._root}{require_key(key)}/{name}".rstrip("/")

    def _manifest(self, key: str) -> Manifest:
        return load(self.read(manifest_key(require_key(key))))

    def _noted(self, key: str) -> Manifest:
        """The note as far as it may be read: to whoever may not list, S3 refuses what is not there."""
        from botocore.exceptions import ClientError

        try:
            return self._manifest(key)
        except StoreRefusesError as error:
            cause = error.__cause__
            if self._is_foreign and isinstance(cause, ClientError) and is_denied(cause):
                return Manifest({})
            raise

    def _listed(self, key: str) -> dict[str, StoredFile]:
        with s3_errors(self._client, f"list {self.place(key)}", self._bucket):
            return self._objects(require_key(key))

    def _objects(self, key: str) -> dict[str, StoredFile]:
        """The objects of an artifact by their path below it: one with the empty path, or those of a folder.

        Raises:
            StorageError: an object of the folder is named as no file below it could be.
        """
        from botocore.exceptions import ClientError

        try:
            return {"": transfer.head(self._place(key))}
        except ClientError as error:
            if error_code(error) not in ABSENT:
                raise
        root = f"{self._root}{key}/"
        found = {one["Key"].removeprefix(root): one for one in self._list(root)}
        # Consoles mark folders by empty objects with a slash at their end.
        files = {name: one for name, one in found.items() if name and not (name.endswith("/") and not one["Size"])}
        if odd := sorted(name for name in files if not is_relative(name)):
            raise StorageError(f"s3://{self._bucket}/{root} holds an object whose name {odd[0]!r} is no file below it")
        return {
            name: StoredFile(int(one["Size"]), str(one.get("ETag", "")).strip('"'))
            for name, one in files.items()
            if not is_hidden(PurePosixPath(name).parts)
        }

    def _list(self, prefix: str) -> Iterator[Mapping[str, Any]]:
        for page in self._pages("list_objects_v2", Prefix=prefix):
            yield from page.get("Contents", ())

    def _pages(self, operation: str, **arguments: str) -> Iterator[Mapping[str, Any]]:
        yield from self._client.get_paginator(operation).paginate(Bucket=self._bucket, **arguments)

    def _delete(self, keys: Iterable[str]) -> None:
        wanted = list(keys)
        for first in range(0, len(wanted), _DELETED_AT_ONCE):
            batch = [{"Key": key} for key in wanted[first : first + _DELETED_AT_ONCE]]
            answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": batch, "Quiet": True})
            if refused := answer.get("Errors"):
                one = refused[0]
                raise StorageError(f"s3://{self._bucket}/{one.get('Key')} cannot be removed: {one.get('Code')}")


def _each(work: Iterable[T], act: Callable[[T], R]) -> list[R]:
    """``act`` on each in several threads; after a failure no more are begun."""
    with ThreadPoolExecutor(_SMALL_FILES) as pool:
        futures = [pool.submit(act, one) for one in work]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise

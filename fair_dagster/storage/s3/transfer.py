"""Copying one file to and from a bucket: in parts, in several threads, hashed on the way, never whole in memory.

What the server received is compared with what was read by the MD5 that S3 returns as ETag of a part; where the ETag is
another thing (a bucket with KMS keys), the object is read back. What a bucket holds is the business of ``s3``.

See docs/decisions/0048.
"""

import base64
import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fair_dagster.domain.errors import StorageError
from fair_dagster.storage.s3.manifests import StoredFile
from fair_dagster.storage.s3.parts import BLOCK, PART, Part, Slice, blocks_of, parts_of

_THREADS = 4
_RESUMES = 8
"""How often a download that breaks off goes on where it was."""


@dataclass(frozen=True)
class Place:
    """An object: the client, its bucket and its key."""

    client: Any
    bucket: str
    key: str

    @property
    def name(self) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.key}

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def upload(source: Path, place: Place) -> StoredFile:
    """Copy a file to an object, which readers see when it is whole and not before.

    Raises:
        StorageError: what arrived is not what was sent.
        OSError, botocore's errors: nothing is left behind, and an object that was there before is as it was.
    """
    with source.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size <= PART:
            return put(stream.read(PART + 1), place)
        return _Upload(place, stream.fileno(), size).run()


def put(content: bytes, place: Place) -> StoredFile:
    """Write a small object in one request. Errors as ``upload``."""
    md5 = hashlib.md5(content, usedforsecurity=False)
    sha256 = hashlib.sha256(content).hexdigest()
    answer = place.client.put_object(**place.name, Body=content, ContentMD5=base64.b64encode(md5.digest()).decode())
    etag = _plain(answer.get("ETag"))
    if etag != md5.hexdigest():
        _require_equal(place, sha256)
    return StoredFile(len(content), etag, sha256)


@dataclass
class _Upload:
    """A multipart upload of an open file. Parts are sent by threads while the next are hashed."""

    place: Place
    descriptor: int
    size: int
    whole: Any = field(default_factory=hashlib.sha256)
    sent: list[dict[str, Any]] = field(default_factory=list)
    is_proven: bool = True

    def run(self) -> StoredFile:
        client, name = self.place.client, self.place.name
        token = client.create_multipart_upload(**name)["UploadId"]
        try:
            self._send(token)
            self._complete(token)
        except BaseException:
            # A signal, too, leaves no parts behind that somebody pays for.
            with suppress(Exception):
                client.abort_multipart_upload(**name, UploadId=token)
            raise
        sha256 = self.whole.hexdigest()
        if not self.is_proven:
            _require_equal(self.place, sha256)
        return StoredFile(self.size, head(self.place).etag, sha256)

    def _send(self, token: str) -> None:
        going: deque[Future[dict[str, Any]]] = deque()
        with ThreadPoolExecutor(_THREADS) as pool:
            try:
                for part in parts_of(self.size):
                    if len(going) > _THREADS:
                        self._take(going.popleft())
                    going.append(pool.submit(self._send_part, token, self._hashed(part)))
                while going:
                    self._take(going.popleft())
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _hashed(self, part: Part) -> Part:
        md5 = hashlib.md5(usedforsecurity=False)
        for block in blocks_of(self.descriptor, part):
            self.whole.update(block)
            md5.update(block)
        return Part(part.number, part.offset, part.length, md5.digest())

    def _send_part(self, token: str, part: Part) -> dict[str, Any]:
        answer = self.place.client.upload_part(
            **self.place.name,
            UploadId=token,
            PartNumber=part.number,
            Body=Slice(self.descriptor, part.offset, part.length),
            ContentLength=part.length,
            ContentMD5=base64.b64encode(part.md5).decode(),
        )
        return {"PartNumber": part.number, "ETag": answer["ETag"], "md5": part.md5.hex()}

    def _take(self, sent: "Future[dict[str, Any]]") -> None:
        part = sent.result()
        if _plain(part["ETag"]) != part.pop("md5"):
            self.is_proven = False
        self.sent.append(part)

    def _complete(self, token: str) -> None:
        from botocore.exceptions import ClientError

        try:
            self.place.client.complete_multipart_upload(
                **self.place.name, UploadId=token, MultipartUpload={"Parts": self.sent}
            )
        except ClientError as error:
            # The server had completed it, and its answer was lost: the repeated request finds no upload. Or somebody
            # has aborted it, and what is there is an older object, which stays.
            if error.response.get("Error", {}).get("Code") != "NoSuchUpload" or not self._has_arrived():
                raise
            self.is_proven = True

    def _has_arrived(self) -> bool:
        from botocore.exceptions import ClientError

        try:
            found = head(self.place)
            return found.size == self.size and sha256_of(self.place, found) == self.whole.hexdigest()
        except ClientError:
            return False


def download(place: Place, target: Path) -> StoredFile:
    """Copy an object to the file ``target``, hashed on the way.

    Raises:
        StorageError: it was written while it was read.
        OSError, botocore's errors: ``target`` may be cut short.
    """
    found = head(place)
    digest = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w+b") as stream, ThreadPoolExecutor(_THREADS) as pool:
        descriptor = stream.fileno()
        going: deque[tuple[Part, Future[None]]] = deque()

        def take() -> None:
            part, done = going.popleft()
            done.result()
            for block in blocks_of(descriptor, part):
                digest.update(block)

        try:
            for part in parts_of(found.size):
                if len(going) > _THREADS:
                    take()
                going.append((part, pool.submit(_fetch_part, place, found.etag, part, descriptor)))
            while going:
                take()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return StoredFile(found.size, found.etag, digest.hexdigest())


def sha256_of(place: Place, found: StoredFile) -> str:
    """The SHA-256 (hex) of an object, read whole. Errors as ``download``."""
    digest = hashlib.sha256()
    _read(place, found.etag, Part(1, 0, found.size), digest.update)
    return digest.hexdigest()


def head(place: Place) -> StoredFile:
    """Size and ETag of an object.

    Raises:
        botocore's ClientError: it is not there.
    """
    answer = place.client.head_object(**place.name)
    return StoredFile(int(answer["ContentLength"]), _plain(answer.get("ETag")))


def _fetch_part(place: Place, etag: str, part: Part, descriptor: int) -> None:
    position = part.offset

    def keep(block: bytes) -> None:
        nonlocal position
        position += os.pwrite(descriptor, block, position)

    _read(place, etag, part, keep)


def _read(place: Place, etag: str, part: Part, take: Callable[[bytes], Any]) -> None:
    """Hand the bytes of ``part`` to ``take``, going on where a connection broke off."""
    from botocore.exceptions import HTTPClientError, IncompleteReadError, ResponseStreamingError
    from urllib3.exceptions import HTTPError

    done = 0
    for attempt in range(_RESUMES):
        if done == part.length:
            return
        try:
            for block in _body(place, etag, part.offset + done, part.offset + part.length - 1):
                take(block)
                done += len(block)
        except (HTTPClientError, IncompleteReadError, ResponseStreamingError, HTTPError, ConnectionError):
            if attempt == _RESUMES - 1:
                raise
            time.sleep(min(2**attempt * 0.2, 5.0))
    if done != part.length:
        raise StorageError(f"{place} breaks off: {done:,} of {part.length:,} bytes came; try again")


def _body(place: Place, etag: str, first: int, last: int) -> Iterator[bytes]:
    from botocore.exceptions import ClientError

    try:
        answer = place.client.get_object(**place.name, Range=f"bytes={first}-{last}", IfMatch=f'"{etag}"')
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in {"PreconditionFailed", "412", "InvalidRange"}:
            raise StorageError(f"{place} was written while it was read; try again") from error
        raise
    with closing(answer["Body"]) as body:
        # A server without ranges sends all of it from the start.
        expected = last - first + 1
        if int(answer["ContentLength"]) != expected:
            raise StorageError(f"{place} answers with {answer['ContentLength']} bytes where {expected} were asked for")
        yield from body.iter_chunks(BLOCK)


def _require_equal(place: Place, sha256: str) -> None:
    """Read an object back; one that differs from what was sent is removed.

    Raises:
        StorageError: it differs.
    """
    if sha256_of(place, head(place)) != sha256:
        place.client.delete_object(**place.name)
        raise StorageError(f"{place} arrived damaged and was removed again; try again, and look at the network between")


def _plain(etag: Any) -> str:
    return str(etag or "").strip('"')

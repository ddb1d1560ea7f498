"""Blobs up and down: streamed, hashed on the way, gone on with where they broke off, never held in memory whole.

Which blobs belong together, and where their files are laid, stands in ``pushing``, ``pulling`` and ``copying``.
"""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from fair_dagster.domain.errors import NotFoundError, RefusedError, ServiceError, StorageError, UnreachableError
from fair_dagster.oci.client import Client, refusal
from fair_dagster.oci.connections import MAX_BYTES, TRIES, Answer, is_busy
from fair_dagster.oci.descriptors import Descriptor, digest_of
from fair_dagster.oci.references import Reference
from fair_dagster.oci.transport import FileBody, Stream

Progress = Callable[[int, int, str], None]
"""Called with bytes done, bytes in all, and of what."""

_BLOCK = 1 << 20
_SMALL = 1 << 20
_RANGE = re.compile(r"bytes (?P<first>[0-9]+)-")
_OCTETS = {"Content-Type": "application/octet-stream"}


class Blobs:
    """The blobs of registries. Threads may share one. Errors as those of ``Registries``."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def has(self, reference: Reference, digest: str) -> bool:
        """Whether the repository has a blob."""
        answer = self._client.send("HEAD", self._url(reference, digest), reference)
        if answer.status == 404:
            return False
        # One that is kept elsewhere is answered with where.
        if answer.status == 200 or 300 <= answer.status < 400:
            return True
        raise refusal(reference, answer, what="artifact")

    def read(self, reference: Reference, descriptor: Descriptor) -> bytes:
        """A small blob, verified.

        Raises:
            RefusedError: it is larger than 4 MiB.
            ServiceError: what came is something else.
        """
        if descriptor.size > MAX_BYTES:
            problem = (
                f"blob {descriptor.digest} has {descriptor.size} bytes, and at most {MAX_BYTES} are read into memory"
            )
            raise RefusedError(str(reference), [problem])
        content = bytearray()
        for left in reversed(range(TRIES)):
            try:
                content = self._small(reference, descriptor)
                break
            except UnreachableError:
                if not left:
                    raise
                self._client.connections.wait(left)
        _require(reference, descriptor, _hashed(descriptor, content), len(content))
        return bytes(content)

    def download(
        self, reference: Reference, descriptor: Descriptor, target: Path, progress: Progress | None = None
    ) -> None:
        """Write a blob to the file ``target``, which is there when it is whole and verified, and not before.

        What an earlier try has left beside it, as ``.<name>.partial``, is gone on with.

        Raises:
            NotFoundError: the repository has no such blob.
            ServiceError: what came is something else; nothing of it is left.
            StorageError: the file cannot be written.
        """
        partial = target.with_name(f".{target.name}.partial")
        try:
            with partial.open("a+b", buffering=0) as stream:
                arrival = _Arrival(reference, descriptor, stream, progress)
                arrival.resume()
                self._receive(arrival)
            if not arrival.is_right and arrival.was_resumed:
                # What was left may have been damaged: once more from the start.
                partial.unlink()
                return self.download(reference, descriptor, target, progress)
            if not arrival.is_right:
                partial.unlink()
                _require(reference, descriptor, arrival.found, arrival.position)
            partial.replace(target)
        except OSError as error:
            raise StorageError(f"{target} cannot be written: {error.strerror or error}") from error
        return None

    def upload(
        self,
        reference: Reference,
        descriptor: Descriptor,
        source: Path | bytes,
        *,
        mount_from: str | None = None,
        progress: Progress | None = None,
    ) -> bool:
        """Send a blob whose digest is known; False when it was there already.

        Args:
            mount_from: a repository of the same registry that has it: nothing is sent then, where the registry can.

        Raises:
            RefusedError: ``source`` is not what ``descriptor`` says.
            StorageError: it cannot be read.
        """
        what = descriptor.title or descriptor.digest
        tell = progress or (lambda *_: None)
        if self.has(reference, descriptor.digest) or self._is_mounted(reference, descriptor, mount_from):
            tell(descriptor.size, descriptor.size, what)
            return False
        if isinstance(source, bytes):
            self._send_whole(reference, descriptor, source)
        else:
            try:
                with source.open("rb", buffering=0) as stream:
                    if os.fstat(stream.fileno()).st_size != descriptor.size:
                        raise _changed(reference, descriptor, source)
                    if descriptor.size <= _SMALL:
                        self._send_whole(reference, descriptor, stream.read())
                    else:
                        self._send_file(reference, descriptor, stream.fileno(), tell)
            except OSError as error:
                raise StorageError(f"{source} cannot be read: {error.strerror or error}") from error
        tell(descriptor.size, descriptor.size, what)
        return True

    def _small(self, reference: Reference, descriptor: Descriptor) -> bytearray:
        content = bytearray()
        block = memoryview(bytearray(1 << 16))
        with self._client.open(self._url(reference, descriptor.digest), reference, {}) as stream:
            if stream.status != 200:
                raise _no_blob(reference, descriptor, stream)
            while len(content) <= descriptor.size and (count := stream.readinto(block)):
                content += block[:count]
        return content

    def _receive(self, arrival: "_Arrival") -> None:
        """Take what is missing, going on where a connection broke off, as long as every connection brings something."""
        left = TRIES
        while arrival.missing():
            before = arrival.position
            try:
                self._take(arrival)
                problem = UnreachableError(
                    f"registry {arrival.reference.registry} sends {arrival.position:,} of the "
                    f"{arrival.descriptor.size:,} bytes of blob {arrival.descriptor.digest} of {arrival.reference}"
                )
            except UnreachableError as error:
                problem = error
            if not arrival.missing():
                return
            left = TRIES if arrival.position > before else left
            left -= 1
            if left <= 0:
                raise problem
            self._client.connections.wait(min(left, TRIES - 1))

    def _take(self, arrival: "_Arrival") -> None:
        reference, descriptor = arrival.reference, arrival.descriptor
        headers = {"Range": f"bytes={arrival.position}-"} if arrival.position else {}
        with self._client.open(self._url(reference, descriptor.digest), reference, headers) as stream:
            if stream.status == 206 and arrival.position:
                found = _RANGE.match(stream.headers.get("content-range", ""))
                if found is None or int(found["first"]) != arrival.position:
                    raise ServiceError(f"registry {reference.registry} sends another part of {descriptor.digest}")
            elif stream.status == 200:
                arrival.restart()
            else:
                raise _no_blob(reference, descriptor, stream)
            arrival.take(stream)

    def _is_mounted(self, reference: Reference, descriptor: Descriptor, mount_from: str | None) -> bool:
        if mount_from is None or mount_from == reference.repository:
            return False
        query = urlencode({"mount": descriptor.digest, "from": mount_from})
        url = self._client.url(reference, f"blobs/uploads/?{query}")
        answer = self._client.send("POST", url, reference, "pull,push")
        if answer.status == 202:
            # It cannot, and has begun an upload instead.
            self._client.once("DELETE", self._place(reference, url, answer), reference, "pull,push")
        return answer.status == 201

    def _begin(self, reference: Reference) -> str:
        """The address of a new upload."""
        url = self._client.url(reference, "blobs/uploads/")
        answer = self._client.send("POST", url, reference, "pull,push")
        if answer.status != 202 or "location" not in answer.headers:
            raise refusal(reference, answer, "pull,push", "repository")
        return self._place(reference, url, answer)

    def _send_whole(self, reference: Reference, descriptor: Descriptor, content: bytes) -> None:
        if digest_of(content) != descriptor.digest:
            raise _changed(reference, descriptor, None)
        for left in reversed(range(TRIES)):
            place = self._begin(reference)
            if self._is_committed(reference, descriptor, place, content, left):
                return

    def _send_file(self, reference: Reference, descriptor: Descriptor, file: int, tell: Progress) -> None:
        what = descriptor.title or descriptor.digest
        for left in reversed(range(TRIES)):
            sent = _Sent(descriptor.size, lambda done: tell(done, descriptor.size, what))
            place = self._begin(reference)
            body = FileBody(file, 0, descriptor.size, sent.more)
            try:
                answer = self._client.once("PATCH", place, reference, "pull,push", headers=_OCTETS, body=body)
            except UnreachableError:
                if not left:
                    raise
                self._client.connections.wait(left)
                continue
            if answer.status not in {202, 204}:
                if not is_busy(answer.status) or not left:
                    raise refusal(reference, answer, "pull,push", "repository")
                self._client.connections.wait(left, answer)
                continue
            if self._is_committed(reference, descriptor, self._place(reference, place, answer), b"", left):
                return

    def _is_committed(
        self, reference: Reference, descriptor: Descriptor, place: str, content: bytes, left: int
    ) -> bool:
        """End an upload; False where it has to be begun again."""
        joint = "&" if urlsplit(place).query else "?"
        url = f"{place}{joint}digest={quote(descriptor.digest, safe='')}"
        try:
            answer = self._client.once("PUT", url, reference, "pull,push", headers=_OCTETS, body=content)
        except UnreachableError:
            # Only its answer may have been lost.
            if self.has(reference, descriptor.digest):
                return True
            if not left:
                raise
            self._client.connections.wait(left)
            return False
        if answer.status in {201, 204}:
            return True
        if answer.status == 400 and b"DIGEST_INVALID" in answer.body:
            raise _changed(reference, descriptor, None)
        if not left or not (is_busy(answer.status) or answer.status == 404):
            raise refusal(reference, answer, "pull,push", "repository")
        self._client.connections.wait(left, answer)
        return False

    def _place(self, reference: Reference, asked: str, answer: Answer) -> str:
        """Where an upload goes on. A registry behind a proxy does not know by which scheme it is spoken to."""
        place = urljoin(asked, answer.headers.get("location", asked))
        own = self._client.url(reference, "")
        if urlsplit(place).netloc.lower() == urlsplit(own).netloc.lower():
            place = urlsplit(place)._replace(scheme=urlsplit(own).scheme).geturl()
        return place

    def _url(self, reference: Reference, digest: str) -> str:
        return self._client.url(reference, f"blobs/{digest}")


class _Arrival:
    """A blob that is being received into an open file: how far it has come, and its digest so far."""

    def __init__(self, reference: Reference, descriptor: Descriptor, stream: Any, progress: Progress | None) -> None:
        self.reference, self.descriptor = reference, descriptor
        self.position, self.was_resumed = 0, False
        self._stream = stream
        self._progress = progress or (lambda *_: None)
        self._digest = _new(descriptor)
        self._what = descriptor.title or descriptor.digest

    def missing(self) -> int:
        """Bytes that have not come yet."""
        return max(self.descriptor.size - self.position, 0)

    @property
    def found(self) -> str:
        return f"{self.descriptor.digest.partition(':')[0]}:{self._digest.hexdigest()}"

    @property
    def is_right(self) -> bool:
        return self.position == self.descriptor.size and self.found == self.descriptor.digest

    def resume(self) -> None:
        """Take over what is in the file."""
        self._stream.seek(0)
        block = memoryview(bytearray(_BLOCK))
        while count := self._stream.readinto(block):
            self._digest.update(block[:count])
            self.position += count
        self.was_resumed = self.position > 0
        if self.position > self.descriptor.size:
            self.restart()

    def restart(self) -> None:
        """Forget what has come."""
        self._stream.truncate(0)
        self._digest, self.position, self.was_resumed = _new(self.descriptor), 0, False

    def take(self, body: Stream) -> None:
        """Write, hash and count what comes; no more than is due."""
        block = memoryview(bytearray(_BLOCK))
        while self.missing() and (count := body.readinto(block)):
            # More than is due is not written: its digest will tell.
            part = block[:count]
            self._digest.update(part)
            while part:
                part = part[self._stream.write(part) :]
            self.position += count
            self._progress(min(self.position, self.descriptor.size), self.descriptor.size, self._what)


@dataclass
class _Sent:
    """Counts what has gone; a body that is sent a second time does not count twice."""

    size: int
    tell: Callable[[int], None]
    done: int = 0

    def more(self, count: int) -> None:
        self.done = min(self.done + count, self.size)
        self.tell(self.done)


def file_digest(path: Path) -> tuple[str, int]:
    """Digest and size of a file, read once.

    Raises:
        StorageError: it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    block = memoryview(bytearray(_BLOCK))
    try:
        with path.open("rb", buffering=0) as stream:
            while count := stream.readinto(block):
                digest.update(block[:count])
                size += count
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    return f"sha256:{digest.hexdigest()}", size


def _new(descriptor: Descriptor) -> "hashlib._Hash":
    return hashlib.new(descriptor.digest.partition(":")[0])


def _hashed(descriptor: Descriptor, content: bytes | bytearray) -> str:
    digest = _new(descriptor)
    digest.update(content)
    return f"{descriptor.digest.partition(':')[0]}:{digest.hexdigest()}"


def _require(reference: Reference, descriptor: Descriptor, found: str, size: int) -> None:
    if (found, size) == (descriptor.digest, descriptor.size):
        return
    told = f"it is {found}" if size == descriptor.size else f"it has {size:,} bytes, not {descriptor.size:,}"
    raise ServiceError(
        f"blob {descriptor.digest} of {reference} arrived damaged: {told}. Nothing of it was kept; try again, and if "
        f"it stays so, push it to registry {reference.registry} again"
    )


def _changed(reference: Reference, descriptor: Descriptor, source: Path | None) -> RefusedError:
    what = source or descriptor.title or descriptor.digest
    return RefusedError(f"push to {reference}", [f"{what} changed while it was read: leave it alone and push again"])


def _no_blob(reference: Reference, descriptor: Descriptor, stream: Stream) -> NotFoundError | ServiceError:
    block = memoryview(bytearray(1 << 16))
    answer = Answer(stream.status, stream.headers, bytes(block[: stream.readinto(block)]))
    error = refusal(reference, answer, what="artifact")
    if isinstance(error, NotFoundError):
        problem = f"registry {reference.registry} has the manifest and not its blob {descriptor.digest}: push it again"
        return NotFoundError(f"blob of {reference}", [problem])
    return error

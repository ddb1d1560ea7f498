"""Blobs of registries: streamed, hashed on the way, gone on with where they broke off, never held in memory whole.

How blobs are sent stands in ``uploads``; which belong together, in ``pushing``, ``pulling`` and ``copying``.
"""

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fair_dagster.domain.errors import NotFoundError, RefusedError, ServiceError, StorageError, UnreachableError
from fair_dagster.net import files
from fair_dagster.net.pinned import Stream
from fair_dagster.oci.descriptors import Descriptor
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.client import Client, refusal
from fair_dagster.oci.registry.connections import MAX_BYTES, TRIES, Answer

Progress = Callable[[int, int, str], None]
"""Called with bytes done, bytes in all, and of what."""

_BLOCK = 1 << 20
_BLOCKS = 4
_RANGE = re.compile(r"bytes (?P<first>[0-9]+)-")


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
            arrival = self._arrived(reference, descriptor, partial, progress)
            if not arrival.is_right and arrival.was_resumed:
                # What was left may have been damaged: once more from the start.
                partial.unlink()
                arrival = self._arrived(reference, descriptor, partial, progress)
            if not arrival.is_right:
                partial.unlink()
                _require(reference, descriptor, arrival.found, arrival.position)
            partial.replace(target)
        except OSError as error:
            raise StorageError(f"{target} cannot be written: {files.reason_of(error, advise=True)}") from error

    def _arrived(
        self, reference: Reference, descriptor: Descriptor, partial: Path, progress: Progress | None
    ) -> "_Arrival":
        with partial.open("a+b", buffering=0) as stream:
            arrival = _Arrival(reference, descriptor, stream, progress)
            arrival.resume()
            try:
                self._receive(arrival)
            except BaseException:
                if not arrival.position:
                    partial.unlink()
                raise
        return arrival

    @contextmanager
    def open(self, reference: Reference, descriptor: Descriptor) -> Iterator[Stream]:
        """A blob to read, from its start; what comes is not verified.

        Raises:
            NotFoundError: the repository has no such blob.
        """
        with self._client.open(self._url(reference, descriptor.digest), reference, {}) as stream:
            if stream.status != 200:
                raise _no_blob(reference, descriptor, stream)
            yield stream

    def _small(self, reference: Reference, descriptor: Descriptor) -> bytearray:
        content = bytearray()
        block = memoryview(bytearray(1 << 16))
        with self.open(reference, descriptor) as stream:
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
        """Hash and count what comes while what came before is written; a block that passes the end tells by its digest.

        Raises:
            UnreachableError: the connection broke; what had come is in the file.
            OSError: the file cannot be written.
        """
        blocks = [memoryview(bytearray(_BLOCK)) for _ in range(_BLOCKS)]
        writing: deque[Future[None]] = deque()
        with ThreadPoolExecutor(1, "fair-blob") as writer:
            try:
                while self.missing() and (count := body.readinto(blocks[0])):
                    self._digest.update(blocks[0][:count])
                    writing.append(writer.submit(_write, self._stream, blocks[0][:count]))
                    self.position += count
                    self._progress(min(self.position, self.descriptor.size), self.descriptor.size, self._what)
                    blocks.append(blocks.pop(0))
                    if len(writing) == _BLOCKS:
                        writing.popleft().result()
            finally:
                for written in writing:
                    written.result()


def _write(stream: Any, block: memoryview) -> None:
    while block:
        block = block[stream.write(block) :]


def file_digest(path: Path, algorithm: str = "sha256") -> tuple[str, int]:
    """Digest and size of a file, read once.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        digest, size = files.file_digest(path, algorithm)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    return f"{algorithm}:{digest}", size


def is_content(path: Path, descriptor: Descriptor) -> bool:
    """Whether a file is what ``descriptor`` says; it is read only where its size is right."""
    if not path.is_file() or path.stat().st_size != descriptor.size:
        return False
    return file_digest(path, descriptor.digest.partition(":")[0])[0] == descriptor.digest


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


def _no_blob(reference: Reference, descriptor: Descriptor, stream: Stream) -> NotFoundError | ServiceError:
    block = memoryview(bytearray(1 << 16))
    answer = Answer(stream.status, stream.headers, bytes(block[: stream.readinto(block)]))
    error = refusal(reference, answer, what="artifact")
    if isinstance(error, NotFoundError):
        problem = f"registry {reference.registry} has the manifest and not its blob {descriptor.digest}: push it again"
        return NotFoundError(f"blob of {reference}", [problem])
    return error

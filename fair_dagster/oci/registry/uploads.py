"""Sending blobs: not at all where the registry has them, else as one stream that the registry verifies.

Where blobs are read from a registry stands in ``blobs``; which belong together, in ``pushing`` and ``copying``.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode, urljoin, urlsplit

from fair_dagster.domain.errors import RefusedError, StorageError, UnreachableError
from fair_dagster.net.pinned import Body, FileBody, PipeBody
from fair_dagster.oci.descriptors import Descriptor, digest_of
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.blobs import Blobs, Progress
from fair_dagster.oci.registry.client import Client, refusal
from fair_dagster.oci.registry.connections import TRIES, Answer, is_busy

_SMALL = 1 << 20
_OCTETS = {"Content-Type": "application/octet-stream"}

Opened = Callable[[], AbstractContextManager[Callable[[memoryview], int]]]
"""Opens the content of a blob from its start; gives what puts it into buffers."""


class Uploads:
    """Sends blobs to registries. Threads may share one. Errors as those of ``Registries``."""

    def __init__(self, client: Client, blobs: Blobs) -> None:
        self._client = client
        self._blobs = blobs

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
        tell = _telling(descriptor, progress)
        if self._is_there(reference, descriptor, mount_from):
            tell(descriptor.size)
            return False
        if isinstance(source, bytes):
            self._send_small(reference, descriptor, source)
        else:
            with _read(source) as file:
                if os.fstat(file).st_size != descriptor.size:
                    raise _changed(reference, descriptor, str(source))
                if descriptor.size <= _SMALL:
                    self._send_small(reference, descriptor, os.pread(file, _SMALL + 1, 0))
                else:
                    self._send(reference, lambda: descriptor, lambda: _file_body(file, descriptor.size, tell))
        tell(descriptor.size)
        return True

    def pipe(
        self,
        reference: Reference,
        descriptor: Descriptor,
        opened: Opened,
        *,
        mount_from: str | None = None,
        progress: Progress | None = None,
    ) -> bool:
        """As ``upload``, of content that lies elsewhere. It is opened again for each try."""
        tell = _telling(descriptor, progress)
        if self._is_there(reference, descriptor, mount_from):
            tell(descriptor.size)
            return False

        @contextmanager
        def body() -> Iterator[Body]:
            done = 0
            with opened() as fill:

                def counted(buffer: memoryview) -> int:
                    nonlocal done
                    count = fill(buffer)
                    done += count
                    tell(done)
                    return count

                yield PipeBody(descriptor.size, counted)

        if descriptor.size:
            self._send(reference, lambda: descriptor, body)
        else:
            self._send_small(reference, descriptor, b"")
        return True

    def stream(self, reference: Reference, size: int, opened: Opened, told: Callable[[int], None]) -> str:
        """Send ``size`` bytes whose digest is counted on the way; gives it. They are opened again for each try.

        Args:
            told: is called with the bytes that have gone.
        """
        digest = hashlib.sha256()

        @contextmanager
        def body() -> Iterator[Body]:
            nonlocal digest
            digest, done = hashlib.sha256(), 0
            with opened() as fill:

                def counted(buffer: memoryview) -> int:
                    nonlocal done
                    count = fill(buffer)
                    digest.update(buffer[:count])
                    done += count
                    told(done)
                    return count

                yield PipeBody(size, counted)

        def described() -> Descriptor:
            return Descriptor("application/octet-stream", f"sha256:{digest.hexdigest()}", size)

        self._send(reference, described, body)
        return described().digest

    def _is_there(self, reference: Reference, descriptor: Descriptor, mount_from: str | None) -> bool:
        if self._blobs.has(reference, descriptor.digest):
            return True
        if mount_from is None or mount_from == reference.repository:
            return False
        query = urlencode({"mount": descriptor.digest, "from": mount_from})
        url = self._client.url(reference, f"blobs/uploads/?{query}")
        answer = self._client.send("POST", url, reference, "pull,push")
        if answer.status == 202 and "location" in answer.headers:
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

    def _send_small(self, reference: Reference, descriptor: Descriptor, content: bytes) -> None:
        if digest_of(content) != descriptor.digest and descriptor.digest.startswith("sha256:"):
            raise _changed(reference, descriptor)
        for left in reversed(range(TRIES)):
            if self._is_committed(reference, descriptor, self._begin(reference), content, left):
                return

    def _send(
        self,
        reference: Reference,
        described: Callable[[], Descriptor],
        opened: Callable[[], AbstractContextManager[Body]],
    ) -> None:
        """Send all of a blob; again from its start where that was cut off, as few registries can go on.

        Args:
            described: is asked when the body has been sent.
        """
        for left in reversed(range(TRIES)):
            place = self._begin(reference)
            try:
                with opened() as body:
                    answer = self._client.once("PATCH", place, reference, "pull,push", headers=_OCTETS, body=body)
            except UnreachableError:
                if not left:
                    raise
                self._client.connections.wait(left)
                continue
            if answer.status in {202, 204}:
                following = self._place(reference, place, answer)
                if self._is_committed(reference, described(), following, b"", left):
                    return
            elif left and (is_busy(answer.status) or answer.status == 401):
                self._client.connections.wait(left, answer)
            else:
                raise refusal(reference, answer, "pull,push", "repository")

    def _is_committed(
        self, reference: Reference, descriptor: Descriptor, place: str, content: bytes, left: int
    ) -> bool:
        """End an upload; False where it has to be begun again, for which there are ``left`` tries."""
        joint = "&" if urlsplit(place).query else "?"
        url = f"{place}{joint}digest={quote(descriptor.digest, safe='')}"
        try:
            answer = self._client.once("PUT", url, reference, "pull,push", headers=_OCTETS, body=content)
        except UnreachableError:
            # Only its answer may have been lost.
            if self._blobs.has(reference, descriptor.digest):
                return True
            if not left:
                raise
            self._client.connections.wait(left)
            return False
        if answer.status in {201, 204}:
            return True
        if answer.status == 404 and self._blobs.has(reference, descriptor.digest):
            # It was asked twice, as the connection broke, and the upload had ended.
            return True
        if answer.status == 400 and b"DIGEST_INVALID" in answer.body:
            raise _changed(reference, descriptor)
        if not left or not (is_busy(answer.status) or answer.status == 404):
            raise refusal(reference, answer, "pull,push", "repository")
        self._client.connections.wait(left, answer)
        return False

    def _place(self, reference: Reference, asked: str, answer: Answer) -> str:
        """Where an upload goes on. A registry behind a proxy does not know by which scheme it is spoken to."""
        place = urljoin(asked, answer.headers.get("location", asked))
        own = urlsplit(self._client.url(reference, ""))
        if urlsplit(place).netloc.lower() == own.netloc.lower():
            place = urlsplit(place)._replace(scheme=own.scheme).geturl()
        return place


@contextmanager
def _file_body(file: int, size: int, tell: Callable[[int], None]) -> Iterator[Body]:
    done = 0

    def sent(count: int) -> None:
        nonlocal done
        # A body that is sent once more, because the registry wanted another token, does not count twice.
        done = min(done + count, size)
        tell(done)

    yield FileBody(file, size, sent)


@contextmanager
def _read(path: Path) -> Iterator[int]:
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        yield file
    finally:
        os.close(file)


def _telling(descriptor: Descriptor, progress: Progress | None) -> Callable[[int], None]:
    what = descriptor.title or descriptor.digest
    return (lambda done: progress(done, descriptor.size, what)) if progress else (lambda _: None)


def _changed(reference: Reference, descriptor: Descriptor, what: str = "") -> RefusedError:
    named = what or descriptor.title or descriptor.digest
    return RefusedError(f"push to {reference}", [f"{named} changed while it was read: leave it alone and push again"])

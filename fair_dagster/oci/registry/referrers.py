"""What refers to a manifest: asked of the registry, or kept in the fallback index where it has no referrers API.

https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-referrers and
#referrers-tag-schema. A tag cannot be written under a condition, so the index is read again before and after each
write. What a referrer is good for stands with those who make it.

See docs/decisions/0035.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fair_dagster.domain.errors import NotFoundError, ServiceError, StorageError, UnreachableError
from fair_dagster.oci.descriptors import OCI_INDEX, Descriptor, Manifest
from fair_dagster.oci.references import Reference, referrers_tag
from fair_dagster.oci.registry.client import Client, refusal
from fair_dagster.oci.registry.manifests import Manifests

_ATTEMPTS = 12
_SETTLE_SECONDS = 0.2
"""How long another writer may take from its reading to its writing."""

Change = Callable[[Sequence[Descriptor]], list[Descriptor]]


class Referrers:
    """The referrers of manifests.

    Args:
        locks: a folder by which processes of this machine take turns; writers on other machines are noticed.
    """

    def __init__(self, client: Client, manifests: Manifests, locks: Path | None = None) -> None:
        self._client, self._manifests = client, manifests
        self._locks = locks

    def of(self, reference: Reference) -> list[Descriptor]:
        """What refers to the digest of ``reference``, each digest once.

        Raises:
            ServiceError: the registry refuses, or answers with no index.
        """
        found: list[Descriptor] = []
        for answer in self._client.pages(f"referrers/{reference.digest}", reference):
            if answer.status == 404:
                return self._kept(reference)[0]
            if answer.status != 200:
                raise refusal(reference, answer, what="artifact")
            if answer.media_type != OCI_INDEX:
                # A server without the API that answers with a page of its own.
                return self._kept(reference)[0]
            found += Manifest.parse(answer.body, answer.media_type, f"referrers of {reference}").manifests
        return list({one.digest: one for one in found}.values())

    def add(self, reference: Reference, subject: Descriptor, referrer: Descriptor) -> None:
        """Enter a referrer in the fallback index of its subject.

        Raises:
            ServiceError: other writers kept being faster; the referrer itself has been written.
        """

        def change(entries: Sequence[Descriptor]) -> list[Descriptor]:
            return [*(one for one in entries if one.digest != referrer.digest), referrer]

        self._change(reference.at(subject.digest), change, lambda digests: referrer.digest in digests)

    def remove(self, reference: Reference, subject: Descriptor, digest: str) -> None:
        """Take a referrer out of the fallback index of its subject, where there is one. Errors as ``add``."""

        def change(entries: Sequence[Descriptor]) -> list[Descriptor]:
            return [one for one in entries if one.digest != digest]

        self._change(reference.at(subject.digest), change, lambda digests: digest not in digests)

    def _change(self, subject: Reference, change: Change, is_done: Callable[[set[str]], bool]) -> None:
        place = subject.with_tag(referrers_tag(subject.digest or ""))
        with self._turn(place):
            for attempt in range(_ATTEMPTS):
                if attempt:
                    time.sleep(random.uniform(0, 0.05 * 2 ** min(attempt, 5)))  # noqa: S311 - no secret
                entries, digest = self._kept(subject)
                if is_done({one.digest for one in entries}):
                    return
                if self._digest(place) != digest:
                    continue
                self._write(place, change(entries))
                # Somebody who had read before us may still write over it: look when they must have done so.
                if self._is_settled(subject, is_done):
                    return
        raise ServiceError(
            f"the referrers of {subject} could not be written at {place}: others kept writing them; try again"
        )

    def _write(self, place: Reference, entries: Sequence[Descriptor]) -> None:
        try:
            self._manifests.put(place, Manifest.make_index(entries))
        except UnreachableError:
            raise
        except ServiceError:
            # Somebody may have deleted a referrer and left its entry, and a registry takes no index of what is gone.
            there = [one for one in entries if self._digest(place.at(one.digest))]
            if len(there) == len(entries):
                raise
            self._manifests.put(place, Manifest.make_index(there))

    def _is_settled(self, subject: Reference, is_done: Callable[[set[str]], bool]) -> bool:
        for pause in (0.0, _SETTLE_SECONDS):
            time.sleep(pause)
            if not is_done({one.digest for one in self._kept(subject)[0]}):
                return False
        return True

    def _kept(self, subject: Reference) -> tuple[list[Descriptor], str]:
        """The entries of the fallback index, and its digest; nothing where there is none."""
        place = subject.with_tag(referrers_tag(subject.digest or ""))
        try:
            index = self._manifests.read(place)
        except NotFoundError:
            return [], ""
        if not index.is_index:
            raise ServiceError(f"{place} is no index: something else was pushed where the referrers are kept")
        return list({one.digest: one for one in index.manifests}.values()), index.digest

    def _digest(self, reference: Reference) -> str:
        """The digest of what is there; nothing where there is nothing."""
        try:
            return self._manifests.digest_of(reference)
        except NotFoundError:
            return ""

    @contextmanager
    def _turn(self, place: Reference) -> Iterator[None]:
        if self._locks is None:
            yield
            return
        from filelock import FileLock

        name = f"{place.registry}/{place.repository}/{place.tag}".replace("/", "+").replace(":", "_")
        lock = FileLock(self._locks / f"{name[-200:]}.lock")
        try:
            self._locks.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            raise StorageError(f"{lock.lock_file} cannot be written: {error.strerror or error}") from error
        try:
            yield
        finally:
            lock.release()

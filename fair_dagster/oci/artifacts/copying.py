"""Copying artifacts and images between repositories, byte for byte: blobs stream through, nothing is laid down here.

Within one registry blobs are mounted and not sent. What a manifest points at goes before it.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from fair_dagster.domain.errors import RefusedError, UnreachableError
from fair_dagster.oci.descriptors import Descriptor, Manifest
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.blobs import Progress
from fair_dagster.oci.registry.registries import Registries
from fair_dagster.oci.registry.transfers import in_parallel

_DEEPEST = 4
"""Indexes of indexes, and referrers of referrers."""


@dataclass(frozen=True)
class Copied:
    """What was copied.

    Attributes:
        digest: of the artifact, the same in both places.
        manifests: their digests; what an index points at stands before it, what refers to a manifest after it.
        uploaded, reused: bytes that were sent, and that were there already.
    """

    source: Reference
    target: Reference
    digest: str
    manifests: tuple[str, ...]
    uploaded: int
    reused: int


def copy(
    registries: Registries,
    source: Reference,
    target: Reference,
    *,
    referrers: bool = False,
    progress: Progress | None = None,
) -> Copied:
    """Copy an artifact, an image or an index with all that it holds; its digest stays.

    Args:
        target: a tag, or a digest alone, which has to be the source's.
        referrers: also what refers to it: signatures, attestations, images made from it.
        progress: is called with the bytes of the blobs of one manifest after the other.

    Raises:
        RefusedError: ``target`` names another digest.
        As ``Registries``: the tag is what it was.
    """
    digest = registries.digest_of(source)
    if target.digest not in {None, digest}:
        raise RefusedError(f"copy to {target}", [f"{source} has the digest {digest}"])
    work = _ArtifactCopy(registries, source, referrers, progress)
    work.run(source.at(digest), target if target.digest is None else target.at(digest), 0)
    return Copied(source, target, digest, tuple(work.manifests), work.uploaded, work.reused)


@dataclass
class _ArtifactCopy:
    registries: Registries
    source: Reference
    referrers: bool
    progress: Progress | None
    manifests: list[str] = field(default_factory=list)
    uploaded: int = 0
    reused: int = 0

    def run(self, source: Reference, target: Reference, depth: int) -> None:
        if source.digest in self.manifests:
            return
        if depth > _DEEPEST:
            raise RefusedError(f"copy of {self.source}", [f"{source} lies more than {_DEEPEST} levels deep"])
        manifest = self.registries.manifest(source)
        for entry in manifest.manifests:
            self.run(source.at(entry.digest), target.at(entry.digest), depth + 1)
        self._blobs(source, target, manifest)
        self.registries.put_manifest(target, manifest)
        self.manifests.append(manifest.digest)
        if self.referrers:
            for one in self.registries.referrers(source):
                self.run(source.at(one.digest), target.at(one.digest), depth + 1)

    def _blobs(self, source: Reference, target: Reference, manifest: Manifest) -> None:
        blobs = manifest.blobs
        sent = in_parallel(
            [self._sending(source, target, blob) for blob in blobs], self.progress, sum(blob.size for blob in blobs)
        )
        for blob, is_sent in zip(blobs, sent, strict=True):
            if is_sent:
                self.uploaded += blob.size
            else:
                self.reused += blob.size

    def _sending(self, source: Reference, target: Reference, blob: Descriptor) -> Callable[[Progress], bool]:
        mount_from = source.repository if source.registry == target.registry else None

        def send(progress: Progress) -> bool:
            reader = BlobReader(self.registries, source, blob)
            return self.registries.uploads.pipe(target, blob, reader.opened, mount_from=mount_from, progress=progress)

        return send


@dataclass
class BlobReader:
    """A blob of the source, from its start each time it is opened; what does not fit its digest is not passed whole."""

    registries: Registries
    source: Reference
    blob: Descriptor

    @contextmanager
    def opened(self) -> Iterator[Callable[[memoryview], int]]:
        digest = hashlib.new(self.blob.digest.partition(":")[0])
        left = self.blob.size
        with self.registries.blobs.open(self.source, self.blob) as stream:

            def fill(buffer: memoryview) -> int:
                nonlocal left
                count = stream.readinto(buffer)
                digest.update(buffer[:count])
                left -= count
                if not left and not self.blob.digest.endswith(digest.hexdigest()):
                    # The target would say so as well, but not which of the two registries is at fault.
                    raise UnreachableError(
                        f"registry {self.source.registry} cannot be asked for {self.source}: "
                        f"blob {self.blob.digest} arrived damaged"
                    )
                return count

            yield fill

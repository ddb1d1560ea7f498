"""The client of registries: tags and repositories; manifests, blobs and referrers by the modules that know them.

Every digest is verified here: what a caller gets is what it asked for. What manifests mean stands in ``artifacts``.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from fair_dagster.domain.errors import RefusedError, ServiceError
from fair_dagster.oci.descriptors import Descriptor, Manifest
from fair_dagster.oci.references import Reference, is_hidden_tag
from fair_dagster.oci.registry.blobs import Blobs, Progress
from fair_dagster.oci.registry.client import Client, refusal
from fair_dagster.oci.registry.credentials import Credentials, find_credentials
from fair_dagster.oci.registry.manifests import Manifests
from fair_dagster.oci.registry.referrers import Referrers
from fair_dagster.oci.registry.uploads import Uploads

_PAGE = 1000


class Registries:
    """Asks registries, each with its own credentials. Threads may share one.

    Args:
        trusted: as ``Settings.registries``.
        credentials: finds what to say to a registry.
        locks: a folder by which processes of this machine take turns at what registries cannot change atomically.

    Every method raises ``UnreachableError`` when the registry does not answer, ``ServiceError`` when it refuses or
    answers nonsense, ``NotFoundError`` when it says that something is not there.
    """

    def __init__(
        self,
        trusted: Sequence[str] = (),
        credentials: Callable[[str], Credentials | None] = find_credentials,
        locks: Path | None = None,
    ) -> None:
        self.client = Client(trusted, credentials)
        self.manifests = Manifests(self.client)
        self._referrers = Referrers(self.client, self.manifests, locks)

    @cached_property
    def blobs(self) -> Blobs:
        return Blobs(self.client)

    @cached_property
    def uploads(self) -> Uploads:
        return Uploads(self.client, self.blobs)

    def digest_of(self, reference: Reference) -> str:
        """The digest that ``reference`` has now. Errors as ``Manifests.digest_of``."""
        return self.manifests.digest_of(reference)

    def manifest(self, reference: Reference) -> Manifest:
        """The manifest or index at ``reference``. Errors as ``Manifests.read``."""
        return self.manifests.read(reference)

    def image_manifest(self, reference: Reference) -> Manifest:
        """As ``manifest``, for who needs a single one.

        Raises:
            RefusedError: it is an index, of which one entry has to be chosen.
        """
        found = self.manifest(reference)
        if found.is_index:
            entries = ", ".join(entry.digest for entry in found.manifests[:5]) or "none"
            problem = f"it is an index of {len(found.manifests)} manifests: name one of them by its digest ({entries})"
            raise RefusedError(str(reference), [problem])
        return found

    def put_manifest(self, reference: Reference, manifest: Manifest) -> str:
        """Write a manifest under the tag of ``reference``, or under its digest alone; gives the digest.

        One with a subject becomes a referrer of it, on registries without the referrers API as well.
        """
        answer = self.manifests.put(reference, manifest)
        if manifest.subject is not None and "oci-subject" not in answer.headers:
            self._referrers.add(reference, manifest.subject, manifest.descriptor)
        return manifest.digest

    def delete_manifest(self, reference: Reference) -> None:
        """Delete the manifest with the digest of ``reference``, and what an index of referrers says of it."""
        if reference.digest is None:
            raise ServiceError(f"{reference} cannot be deleted: a digest has to be named")
        manifest = self.manifest(reference.at(reference.digest))
        self.manifests.delete(reference, reference.digest)
        if manifest.subject is not None:
            self._referrers.remove(reference, manifest.subject, manifest.digest)

    def tags(self, reference: Reference, *, hidden: bool = False) -> Iterator[str]:
        """The tags of the repository of ``reference``.

        Args:
            hidden: also those by which tools keep what refers to a manifest.
        """
        for tag in self._list(f"tags/list?n={_PAGE}", "tags", reference):
            if hidden or not is_hidden_tag(tag):
                yield tag

    def repositories(self, registry: str) -> Iterator[str]:
        """The names of a registry's repositories, where it lists them."""
        anywhere = Reference.parse(f"{registry}/catalog")
        yield from self._list(f"/v2/_catalog?n={_PAGE}", "repositories", anywhere)

    def referrers(self, reference: Reference) -> list[Descriptor]:
        """What refers to the manifest at ``reference``: signatures, attestations, images, finetuned models."""
        digest = reference.digest or self.digest_of(reference)
        return self._referrers.of(reference.at(digest))

    def has_blob(self, reference: Reference, digest: str) -> bool:
        return self.blobs.has(reference, digest)

    def read_blob(self, reference: Reference, descriptor: Descriptor) -> bytes:
        """A small blob. Errors as ``Blobs.read``."""
        return self.blobs.read(reference, descriptor)

    def download(
        self, reference: Reference, descriptor: Descriptor, target: Path, progress: Progress | None = None
    ) -> None:
        """Write a blob to the file ``target``. Errors as ``Blobs.download``."""
        self.blobs.download(reference, descriptor, target, progress)

    def upload(
        self,
        reference: Reference,
        descriptor: Descriptor,
        source: Path | bytes,
        *,
        mount_from: str | None = None,
        progress: Progress | None = None,
    ) -> bool:
        """Send a blob; False when it was there already. Errors as ``Uploads.upload``."""
        return self.uploads.upload(reference, descriptor, source, mount_from=mount_from, progress=progress)

    def close(self) -> None:
        """Close idle connections."""
        self.client.connections.close()

    def _list(self, path: str, key: str, reference: Reference) -> Iterator[str]:
        for answer in self.client.pages(path, reference):
            if answer.status != 200:
                raise refusal(reference, answer, what="repository")
            try:
                names = json.loads(answer.body)[key] or []
            except (ValueError, TypeError, KeyError) as error:
                raise ServiceError(f"registry {reference.registry} answers with no list of {key}") from error
            yield from (str(name) for name in names)

"""The client of registries: manifests, tags and repositories; blobs and referrers by the modules that know them.

Every digest is verified here: what a caller gets is what it asked for. What manifests mean stands in ``artifacts``.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fair_dagster.domain.errors import RefusedError, ServiceError
from fair_dagster.oci.artifacts.descriptors import (
    DIGEST,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
)
from fair_dagster.oci.references import Reference, is_hidden_tag
from fair_dagster.oci.registry.blobs import Blobs, Progress
from fair_dagster.oci.registry.client import Client, refusal
from fair_dagster.oci.registry.connections import Answer
from fair_dagster.oci.registry.credentials import Credentials, find_credentials
from fair_dagster.oci.registry.uploads import Uploads

if TYPE_CHECKING:
    from fair_dagster.oci.registry.referrers import Referrers

MANIFEST_TYPES = (OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST)
"""An index comes first: its digest stands for the image on every platform."""
_ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}
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
        self._locks = locks

    @cached_property
    def blobs(self) -> Blobs:
        return Blobs(self.client)

    @cached_property
    def uploads(self) -> Uploads:
        return Uploads(self.client, self.blobs)

    @cached_property
    def _referrers(self) -> "Referrers":
        from fair_dagster.oci.registry.referrers import Referrers

        return Referrers(self, self._locks)

    def digest_of(self, reference: Reference) -> str:
        """The digest that ``reference`` has now; a reference by digest is looked up as well."""
        answer = self._ask("HEAD", reference)
        found = answer.headers.get("docker-content-digest", "")
        if answer.status != 200 or not DIGEST.fullmatch(found):
            # Without a body there is no reason, and from some registries no digest.
            answer = self._ask("GET", reference)
            found = _digest_in(reference, answer, "image")
        if reference.digest and found != reference.digest:
            raise ServiceError(f"registry {reference.registry} answers {reference} with {found}")
        return found

    def manifest(self, reference: Reference) -> Manifest:
        """The manifest or index at ``reference``.

        Raises:
            RefusedError: it is malformed; every problem is named.
        """
        answer = self._ask("GET", reference)
        found = _digest_in(reference, answer)
        if reference.digest and found != reference.digest:
            raise ServiceError(f"registry {reference.registry} answers {reference} with {found}")
        return Manifest.parse(answer.body, answer.media_type, str(reference))

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
        answer = self.put_only(reference, manifest)
        if manifest.subject is not None and "oci-subject" not in answer.headers:
            self._referrers.add(reference, manifest.subject, manifest.descriptor)
        return manifest.digest

    def put_only(self, reference: Reference, manifest: Manifest) -> Answer:
        """As ``put_manifest``, leaving the index of referrers as it is; for who keeps that one."""
        if reference.digest and reference.digest != manifest.digest:
            raise ServiceError(f"{reference} cannot be written: the manifest has the digest {manifest.digest}")
        version = reference.tag or manifest.digest
        url = self.client.url(reference, f"manifests/{version}")
        headers = {"Content-Type": manifest.media_type}
        answer = self.client.send("PUT", url, reference, "pull,push", headers=headers, body=manifest.body)
        if answer.status not in {200, 201, 202}:
            raise refusal(reference, answer, "pull,push", "artifact")
        told = answer.headers.get("docker-content-digest", manifest.digest)
        if told.startswith("sha256:") and told != manifest.digest:
            raise ServiceError(f"registry {reference.registry} stored {reference} as {told}, not {manifest.digest}")
        return answer

    def delete_manifest(self, reference: Reference) -> None:
        """Delete the manifest with the digest of ``reference``, and what an index of referrers says of it."""
        if reference.digest is None:
            raise ServiceError(f"{reference} cannot be deleted: a digest has to be named")
        manifest = self.manifest(reference.at(reference.digest))
        self.delete_only(reference, reference.digest)
        if manifest.subject is not None:
            self._referrers.remove(reference, manifest.subject, manifest.digest)

    def delete_only(self, reference: Reference, version: str) -> None:
        """Delete by digest, or by tag where the registry can."""
        url = self.client.url(reference, f"manifests/{version}")
        answer = self.client.send("DELETE", url, reference, "delete")
        if answer.status not in {200, 202, 204}:
            raise deletion_refusal(reference, answer)

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

    def _ask(self, method: str, reference: Reference) -> Answer:
        url = self.client.url(reference, f"manifests/{reference.version}")
        return self.client.send(method, url, reference, headers=_ACCEPT)

    def _list(self, path: str, key: str, reference: Reference) -> Iterator[str]:
        for answer in self.client.pages(path, reference):
            if answer.status != 200:
                raise refusal(reference, answer, what="repository")
            try:
                names = json.loads(answer.body)[key] or []
            except (ValueError, TypeError, KeyError) as error:
                raise ServiceError(f"registry {reference.registry} answers with no list of {key}") from error
            yield from (str(name) for name in names)


def deletion_refusal(reference: Reference, answer: Answer) -> ServiceError | RefusedError:
    """What an answer to a deletion means."""
    if answer.status == 405:
        problem = f"registry {reference.registry} deletes nothing: its operator has to allow it"
        return RefusedError(f"deletion of {reference}", [problem])
    return refusal(reference, answer, "delete", "artifact")


def _digest_in(reference: Reference, answer: Answer, what: str = "artifact") -> str:
    if answer.status != 200:
        raise refusal(reference, answer, what=what)
    if answer.media_type not in MANIFEST_TYPES:
        kind = answer.media_type or "something"
        raise ServiceError(f"{reference.registry} answers with {kind}, which is no manifest: is it a registry?")
    algorithm = (reference.digest or "sha256").partition(":")[0]
    counted = f"{algorithm}:{hashlib.new(algorithm, answer.body).hexdigest()}"
    told = answer.headers.get("docker-content-digest", counted)
    if told.startswith(f"{algorithm}:") and told != counted:
        raise ServiceError(f"the manifest of {reference} arrived altered: it is {counted}, not {told}")
    return counted

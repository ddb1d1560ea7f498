"""Manifests of registries: read, written and deleted one by one, each verified by its digest.

What they refer to each other by stands in ``referrers``; both are joined in ``registry``.
"""

import hashlib

from fair_dagster.domain.errors import ProblemsError, RefusedError, ServiceError
from fair_dagster.oci.descriptors import (
    DIGEST,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Manifest,
)
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.client import Client, refusal
from fair_dagster.oci.registry.connections import Answer

MANIFEST_TYPES = (OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST)
"""An index comes first: its digest stands for the image on every platform."""
_ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}


class Manifests:
    """The manifests of registries. Threads may share one. Errors as those of ``Registries``."""

    def __init__(self, client: Client) -> None:
        self._client = client

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

    def read(self, reference: Reference) -> Manifest:
        """The manifest or index at ``reference``.

        Raises:
            RefusedError: it is malformed; every problem is named.
        """
        answer = self._ask("GET", reference)
        found = _digest_in(reference, answer)
        if reference.digest and found != reference.digest:
            raise ServiceError(f"registry {reference.registry} answers {reference} with {found}")
        return Manifest.parse(answer.body, answer.media_type, str(reference))

    def put(self, reference: Reference, manifest: Manifest) -> Answer:
        """Write a manifest under the tag of ``reference``, or its digest alone; no index of referrers changes."""
        if reference.digest and reference.digest != manifest.digest:
            raise ServiceError(f"{reference} cannot be written: the manifest has the digest {manifest.digest}")
        version = reference.tag or manifest.digest
        url = self._client.url(reference, f"manifests/{version}")
        headers = {"Content-Type": manifest.media_type}
        answer = self._client.send("PUT", url, reference, "pull,push", headers=headers, body=manifest.body)
        if answer.status not in {200, 201, 202}:
            raise refusal(reference, answer, "pull,push", "artifact")
        told = answer.headers.get("docker-content-digest", manifest.digest)
        if told.startswith("sha256:") and told != manifest.digest:
            raise ServiceError(f"registry {reference.registry} stored {reference} as {told}, not {manifest.digest}")
        return answer

    def delete(self, reference: Reference, version: str) -> None:
        """Delete by digest, or by tag where the registry can."""
        url = self._client.url(reference, f"manifests/{version}")
        answer = self._client.send("DELETE", url, reference, "delete")
        if answer.status not in {200, 202, 204}:
            raise deletion_refusal(reference, answer)

    def _ask(self, method: str, reference: Reference) -> Answer:
        url = self._client.url(reference, f"manifests/{reference.version}")
        return self._client.send(method, url, reference, headers=_ACCEPT)


def deletion_refusal(reference: Reference, answer: Answer) -> ServiceError | ProblemsError:
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

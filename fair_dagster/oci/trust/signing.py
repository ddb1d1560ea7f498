"""Signing artifacts where they are: the manifest tells the digests of the files, so that nothing of them is fetched.

A signature is a bundle in a manifest of its own that refers to the artifact, as cosign 3 lays it down
(https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md). How it is checked stands in ``verifying``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fair_dagster.domain.errors import RefusedError
from fair_dagster.oci.pushing import Part, attach
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.registries import Registries
from fair_dagster.oci.trust.bundles import BUNDLE_TYPE, Statement, make_bundle
from fair_dagster.oci.trust.keys import SigningKey
from fair_dagster.oci.trust.statements import SIGNATURE_TYPE, files_of, signature_statement

_TITLE = "bundle.sigstore.json"
_CONTENT = {"dev.sigstore.bundle.content": "dsse-envelope"}
PREDICATE = "dev.sigstore.bundle.predicateType"
"""The annotation that tells referrers apart; what it says is proved by the bundle alone."""


@dataclass(frozen=True)
class Signed:
    """What was signed, and by which manifest. ``pinned`` is the artifact by digest."""

    pinned: Reference
    referrer: Reference
    fingerprint: str
    files: Mapping[str, str]


def sign(registries: Registries, reference: Reference, key: SigningKey) -> Signed:
    """Sign the artifact at ``reference``. Signing it again by the same key changes nothing.

    Raises:
        RefusedError: it is an index, or its files cannot be told by their SHA-256.
        As ``Registries``: nothing refers to the artifact that did not before.
    """
    manifest = registries.image_manifest(reference)
    try:
        files = files_of(manifest)
        if not manifest.digest.startswith("sha256:"):
            raise ValueError("only a manifest with a SHA-256 digest can be signed")
    except ValueError as error:
        raise RefusedError(f"signature of {reference}", [str(error)]) from error
    pinned = reference.at(manifest.digest)
    statement = signature_statement(pinned.repository.rpartition("/")[2], files, manifest.descriptor)
    return Signed(pinned, _attached(registries, pinned, statement, SIGNATURE_TYPE, key), key.fingerprint, files)


def attest(registries: Registries, reference: Reference, key: SigningKey, statement: Statement) -> Signed:
    """Sign a statement about the artifact at ``reference``, and refer to it.

    Raises:
        RefusedError: the artifact is none of the statement's subjects.
        As ``sign``.
    """
    manifest = registries.image_manifest(reference)
    pinned = reference.at(manifest.digest)
    digests = [subject["digest"].get("sha256") for subject in statement["subject"]]
    if manifest.descriptor.hex not in digests:
        raise RefusedError(f"attestation of {pinned}", ["the statement is about something else"])
    referrer = _attached(registries, pinned, statement, str(statement["predicateType"]), key)
    return Signed(pinned, referrer, key.fingerprint, {})


def _attached(
    registries: Registries, pinned: Reference, statement: Statement, predicate_type: str, key: SigningKey
) -> Reference:
    # No time: the same signature is the same manifest, and is not there twice.
    part = Part(make_bundle(statement, key), _TITLE, BUNDLE_TYPE)
    annotations = _CONTENT | {PREDICATE: predicate_type}
    return attach(registries, pinned, BUNDLE_TYPE, [part], annotations).pinned

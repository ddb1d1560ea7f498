"""Verifying what is signed: every bundle that refers to an artifact, against keys that are trusted. Fails closed.

What is laid down beside an artifact is anybody's who may push there: a bundle counts when a trusted key signed it, and
it is about this very manifest. What one says stands in ``statements`` and ``provenance``.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fair_dagster.domain.errors import NotFoundError, ProblemsError, RefusedError, ServiceError, UnreachableError
from fair_dagster.oci.descriptors import Descriptor, Manifest
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.blobs import Progress, file_digest
from fair_dagster.oci.registry.registries import Registries
from fair_dagster.oci.registry.transfers import in_parallel
from fair_dagster.oci.trust.bundles import BUNDLE_TYPE, Bundle, Statement
from fair_dagster.oci.trust.keys import TrustedKey
from fair_dagster.oci.trust.provenance import PROVENANCE_TYPE, provenance_problems, summary
from fair_dagster.oci.trust.statements import SIGNATURE_TYPE, SignedModel, files_of

_MOST_BUNDLES = 200
"""That are looked at: who may push could lay down any number."""
_BLOCK = 1 << 20


@dataclass(frozen=True)
class FoundSignature:
    """A signed statement that verifies. ``referrer`` is the digest of the manifest that holds it."""

    key: TrustedKey
    referrer: str
    statement: Statement

    def summary(self) -> list[tuple[str, Any]]:
        """What a statement of provenance says, for people: names and values."""
        return summary(self.statement)


@dataclass(frozen=True)
class Verification:
    """What trusted keys say of an artifact. ``ignored`` are the bundles that do not count, with the reason."""

    pinned: Reference
    manifest: Manifest
    signatures: tuple[FoundSignature, ...] = ()
    provenance: tuple[FoundSignature, ...] = ()
    ignored: tuple[str, ...] = field(default=())

    @property
    def files(self) -> dict[str, str]:
        """SHA-256 in hex by path, as signed."""
        return files_of(self.manifest) if self.signatures else {}

    def require(self, *, provenance: bool = False) -> "Verification":
        """Itself, when it is signed.

        Args:
            provenance: somebody trusted must also say where it comes from.

        Raises:
            RefusedError: with the reason of every bundle that does not count.
        """
        missing = [] if self.signatures else ["no signature of a trusted key"]
        missing += ["no provenance signed by a trusted key"] if provenance and not self.provenance else []
        if missing:
            raise RefusedError(f"trust in {self.pinned}", [*missing, *self.ignored])
        return self

    def document(self) -> dict[str, Any]:
        """For machines."""
        return {
            "reference": str(self.pinned),
            "digest": self.manifest.digest,
            "signatures": [_told(one) for one in self.signatures],
            "provenance": [_told(one) | {"statement": one.statement} for one in self.provenance],
            "ignored": list(self.ignored),
        }


def verify(registries: Registries, reference: Reference, keys: Sequence[TrustedKey]) -> Verification:
    """Check every bundle that refers to the artifact at ``reference``. Files are not fetched: see ``check_content``.

    Raises:
        RefusedError: no key is trusted, or the artifact is an index. That nothing is signed is said by ``require``.
        As ``Registries``.
    """
    if not keys:
        raise RefusedError(f"trust in {reference}", ["no key is trusted: name one, or set FAIR_TRUSTED_KEYS"])
    manifest = registries.image_manifest(reference)
    pinned = reference.at(manifest.digest)
    referrers = [one for one in registries.referrers(pinned) if one.artifact_type == BUNDLE_TYPE]
    looks = [_looking(registries, pinned, manifest, one, keys) for one in referrers[:_MOST_BUNDLES]]
    found = in_parallel(looks) if looks else []
    good = [one for one in found if isinstance(one, FoundSignature)]
    failures = [one for one in found if isinstance(one, ServiceError)]
    if failures and not good:
        # A registry that does not give them is no missing signature.
        raise failures[0]
    ignored = [str(one) for one in found if not isinstance(one, FoundSignature)]
    if len(referrers) > _MOST_BUNDLES:
        ignored.append(f"{len(referrers) - _MOST_BUNDLES} bundles more were not looked at")
    return Verification(
        pinned,
        manifest,
        tuple(one for one in good if one.statement["predicateType"] == SIGNATURE_TYPE),
        tuple(one for one in good if one.statement["predicateType"] == PROVENANCE_TYPE),
        tuple(ignored),
    )


def check_content(registries: Registries, verification: Verification, progress: Progress | None = None) -> None:
    """Read every blob of an artifact from its registry, and keep none: it must have the digest that was signed.

    Raises:
        RefusedError: blobs are gone or were altered; every one is named.
        As ``Registries``.
    """
    blobs = verification.manifest.blobs
    total = sum(blob.size for blob in blobs)
    read = in_parallel([_reading(registries, verification.pinned, blob) for blob in blobs], progress, total)
    if problems := [one for one in read if one]:
        raise RefusedError(f"content of {verification.pinned}", problems)


def check_folder(verification: Verification, folder: Path) -> None:
    """Compare files on this machine with those that were signed; what else lies in the folder is not looked at.

    Raises:
        RefusedError: files are missing or differ; every one is named.
        StorageError: one cannot be read.
    """
    problems = []
    for title, digest in sorted(verification.files.items()):
        path = folder / title
        if not path.is_file():
            problems.append(f"{path} is not there")
        elif file_digest(path)[0] != f"sha256:{digest}":
            problems.append(f"{path} is not what was signed")
    if problems:
        raise RefusedError(f"files of {verification.pinned}", problems)


def _looking(
    registries: Registries, pinned: Reference, manifest: Manifest, referrer: Descriptor, keys: Sequence[TrustedKey]
) -> Callable[[Progress], FoundSignature | ServiceError | str]:
    def look(_: Progress) -> FoundSignature | ServiceError | str:
        name = f"bundle {referrer.digest[:19]}"
        try:
            bundle = Bundle.parse(_content(registries, pinned, referrer))
            key, statement = bundle.verify(keys)
            problems = _problems(statement, manifest)
        except UnreachableError:
            raise
        except ServiceError as error:
            return error
        except (ValueError, ProblemsError) as error:
            # What is none hinders no other.
            return f"{name}: {' '.join(str(error).split())}"
        return (
            f"{name}, signed by {key}: {'; '.join(problems)}"
            if problems
            else FoundSignature(key, referrer.digest, statement)
        )

    return look


def _content(registries: Registries, pinned: Reference, referrer: Descriptor) -> bytes:
    manifest = registries.image_manifest(pinned.at(referrer.digest))
    if manifest.subject is None or manifest.subject.digest != pinned.digest:
        raise ValueError("its manifest refers to another artifact")
    bundles = [layer for layer in manifest.layers if layer.media_type == BUNDLE_TYPE]
    if len(bundles) != 1:
        raise ValueError(f"its manifest holds {len(bundles)} bundles")
    return registries.read_blob(pinned, bundles[0])


def _problems(statement: Statement, manifest: Manifest) -> list[str]:
    """Why a statement that is truly signed does not count for ``manifest``."""
    if statement.get("predicateType") == PROVENANCE_TYPE:
        return provenance_problems(statement, manifest.digest)
    return SignedModel.parse(statement).problems(manifest)


def _reading(registries: Registries, pinned: Reference, blob: Descriptor) -> Callable[[Progress], str | None]:
    def read(progress: Progress) -> str | None:
        algorithm, _, wanted = blob.digest.partition(":")
        digest, size = hashlib.new(algorithm), 0
        block = memoryview(bytearray(_BLOCK))
        what = blob.title or blob.digest
        try:
            with registries.blobs.open(pinned, blob) as stream:
                while count := stream.readinto(block):
                    digest.update(block[:count])
                    size += count
                    progress(min(size, blob.size), blob.size, what)
        except NotFoundError:
            return f"{what} ({blob.digest}) is gone from the registry"
        is_right = (size, digest.hexdigest()) == (blob.size, wanted)
        return None if is_right else f"{what} was altered in the registry: it is not {blob.digest}"

    return read


def _told(found: FoundSignature) -> dict[str, str]:
    return {"key": found.key.name, "fingerprint": found.key.fingerprint, "referrer": found.referrer}

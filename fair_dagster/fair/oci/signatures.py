"""Signatures: who made a model, where it comes from, and checking both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fair_dagster.fair.oci.client import RegistryPart, to_reference

if TYPE_CHECKING:
    from fair_dagster.oci.references import Reference
    from fair_dagster.oci.registry.blobs import Progress
    from fair_dagster.oci.trust.keys import SigningKey
    from fair_dagster.oci.trust.signing import Signed
    from fair_dagster.oci.trust.verifying import Verification


@dataclass(frozen=True)
class SignedFiles:
    """Files that were signed where no registry holds them.

    Attributes:
        subject: what was signed, for people.
        files: SHA-256 in hex by path.
        fingerprint: SHA-256 of the public key, in hex.
        places: where the signature of files is kept in the artifact store, once for each; that of a version, nowhere
            that is reported.
    """

    subject: str
    files: Mapping[str, str]
    fingerprint: str
    places: tuple[str, ...]


@dataclass(frozen=True)
class Attested:
    """A statement that was signed.

    Attributes:
        pinned: the artifact that it is about, by digest.
        referrer: the manifest that holds it.
        fingerprint: SHA-256 of the public key, in hex.
        statement: of in-toto, with a predicate of SLSA provenance.
    """

    pinned: "Reference"
    referrer: "Reference"
    fingerprint: str
    statement: Mapping[str, Any]

    def summary(self) -> list[tuple[str, Any]]:
        """What the statement says, for people: names and values."""
        from fair_dagster.oci.trust.provenance import summary

        return summary(self.statement)


class Signatures(RegistryPart):
    """What ``Fair.oci`` does with signatures."""

    def signing_key(
        self, path: Path, *, certificates: Sequence[Path] = (), password: Callable[[], str] | None = None
    ) -> "SigningKey":
        """A private elliptic key of a PEM file.

        Args:
            certificates: files that say whose key it is, its own first.
            password: asked where the key is encrypted and ``FAIR_KEY_PASSWORD`` is not set.

        Raises:
            RefusedError: it cannot be used; every problem is named.
        """
        from fair_dagster.oci.trust.keys import load_signing_key

        kept = self.settings.key_password
        return load_signing_key(path, password if kept is None else kept.get_secret_value, certificates)

    def sign(self, reference: "Reference | str", key: "SigningKey") -> "Signed":
        """Sign an artifact: its manifest and the digests of its files. Nothing is downloaded.

        The signature refers to the artifact, in its registry. Signing again by the same key changes nothing.

        Raises:
            RefusedError: it is an index, or its files have no SHA-256.
        """
        from fair_dagster.oci.trust.signing import sign

        source = to_reference(reference)
        return sign(self.client(source), source, key)

    def sign_version(self, version_id: str, key: "SigningKey") -> SignedFiles:
        """Sign what a version will publish, before it is promoted. The signature is kept in the artifact store.

        Raises:
            NotFoundError: no such version.
            RefusedError: ZenML holds no files of it.
        """
        from fair_dagster.flows.trust.acceptance import sign_version

        return SignedFiles(version_id, sign_version(self.services, version_id, key), key.fingerprint, ())

    def sign_files(self, paths: Sequence[Path], key: "SigningKey") -> SignedFiles:
        """Sign files, and every file of folders, that are in no registry. The signature is kept in the artifact store.

        Raises:
            RefusedError: a path is not there, or a folder holds no files; all are named.
        """
        from fair_dagster.flows.trust.acceptance import sign_files
        from fair_dagster.oci.pushing import parts_of
        from fair_dagster.oci.registry.blobs import file_digest

        files = {
            part.title: file_digest(part.source)[0].removeprefix("sha256:")
            for part in parts_of(paths)
            if isinstance(part.source, Path)
        }
        name = paths[0].name if len(paths) == 1 else f"{len(files)} files"
        return SignedFiles(name, files, key.fingerprint, tuple(sign_files(self.services.artifacts, name, files, key)))

    def attest(self, reference: "Reference | str", key: "SigningKey", model: str | None = None) -> Attested:
        """Sign where a model comes from, as SLSA provenance that refers to its artifact.

        What it says is read from the catalog and from ZenML.

        Args:
            model: the item or version that the artifact was made from; the item that names the artifact without.

        Raises:
            NotFoundError: no item names the artifact, or there is no such model.
            RefusedError: the artifact holds other files than the model has, or the model was not trained here.
        """
        from fair_dagster.flows.trust.provenance import statement_of
        from fair_dagster.oci.trust.signing import attest

        source = to_reference(reference)
        registries = self.client(source)
        statement = statement_of(self.services, registries, source, model)
        done = attest(registries, source, key, statement)
        return Attested(done.pinned, done.referrer, done.fingerprint, statement)

    def verify(
        self,
        reference: "Reference | str",
        *,
        keys: Sequence[Path] = (),
        provenance: bool = False,
        content: bool = False,
        folder: Path | None = None,
        progress: "Progress | None" = None,
    ) -> "Verification":
        """Check every signature of an artifact; a trusted key must have made one of them.

        The manifest and the digests of the files are checked. The files themselves are when they are pulled, or here.

        Args:
            keys: public keys or certificates to trust (PEM); those of ``FAIR_TRUSTED_KEYS`` without.
            provenance: a trusted key must also have signed where the model comes from.
            content: read every file from the registry, and keep none.
            folder: compare the files that were pulled into it.
            progress: called with the bytes of ``content`` that were read.

        Raises:
            RefusedError: no key is trusted, nothing counts, or files were altered; every reason is named.
        """
        from fair_dagster.flows.trust.acceptance import trusted_keys
        from fair_dagster.oci.trust import verifying

        source = to_reference(reference)
        registries = self.client(source)
        found = verifying.verify(registries, source, trusted_keys(self.services.settings, keys)).require(
            provenance=provenance
        )
        if content:
            verifying.check_content(registries, found, progress)
        if folder is not None:
            verifying.check_folder(found, folder)
        return found

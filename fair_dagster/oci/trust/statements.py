"""The statement of a model's signature: the digests of its files, and of the manifest that names them. Pure.

The form is that of model-signing 1.0 (https://github.com/sigstore/model-transparency, predicate
``https://model_signing/signature/v1.0``), so that its own tool verifies the files after a pull. ``manifest`` is a field
of ours, which it ignores: it binds the signature to one artifact, its metadata and annotations included.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from fair_dagster.oci.artifacts.listing import file_title
from fair_dagster.oci.artifacts.titles import title_problems
from fair_dagster.oci.descriptors import Descriptor, Manifest
from fair_dagster.oci.trust.bundles import STATEMENT_TYPE, Statement

SIGNATURE_TYPE = "https://model_signing/signature/v1.0"
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class SignedModel:
    """What a signature of a model says.

    Attributes:
        files: SHA-256 in hex by path.
        manifest: digest of the artifact's manifest; None where files were signed that are in no registry.
    """

    name: str
    files: Mapping[str, str]
    manifest: str | None = None

    @classmethod
    def parse(cls, statement: Statement) -> Self:
        """Read a statement whose signature has been verified.

        Raises:
            ValueError: it is of another kind, or contradicts itself.
        """
        if statement.get("predicateType") != SIGNATURE_TYPE:
            raise ValueError(f"it says something else of it: {statement.get('predicateType')}")
        try:
            (subject,) = statement["subject"]
            predicate = statement["predicate"]
            method = predicate["serialization"]["method"], predicate["serialization"]["hash_type"]
            resources = [(one["name"], one["algorithm"], one["digest"]) for one in predicate["resources"]]
            root, bound = subject["digest"]["sha256"], predicate.get("manifest")
            manifest = None if bound is None else f"sha256:{bound['digest']['sha256']}"
            name = str(subject["name"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"its statement has another form: {type(error).__name__} {error}") from error
        if method != ("files", "sha256") or any(kind != "sha256" for _, kind, _ in resources):
            raise ValueError(f"it tells digests by {method[0]} and {method[1]}: only SHA-256 of whole files is known")
        files = {str(path): str(digest) for path, _, digest in resources}
        if len(files) != len(resources) or not all(_HEX.fullmatch(one) for one in files.values()):
            raise ValueError("its statement names a file twice, or by what is no digest")
        if _root(files.values()) != root:
            raise ValueError("its statement contradicts itself: the files do not make its digest")
        return cls(name, files, manifest)

    def problems(self, manifest: Manifest) -> list[str]:
        """Why it is not about the artifact ``manifest``; empty where it is."""
        if self.manifest is None:
            return ["it signs files and names no manifest: it may be of another artifact"]
        if self.manifest != manifest.digest:
            return [f"it signs the manifest {self.manifest}: it was moved here from there"]
        told, there = dict(self.files), files_of(manifest)
        if told != there:
            wrong = sorted(path for path in told.keys() | there.keys() if told.get(path) != there.get(path))
            return [f"it does not name the files of the manifest: {', '.join(wrong)}"]
        return []


def files_of(manifest: Manifest) -> dict[str, str]:
    """What is laid down of an artifact: SHA-256 in hex by path.

    Raises:
        ValueError: it cannot be signed; says why.
    """
    layers = {(file_title(layer), layer.digest): layer for layer in manifest.layers}
    if problems := title_problems([title for title, _ in layers]):
        raise ValueError("; ".join(problems))
    if other := [layer.digest for layer in layers.values() if not layer.digest.startswith("sha256:")]:
        raise ValueError(f"only files known by their SHA-256 can be signed, and not {', '.join(other)}")
    return {title: layer.hex for (title, _), layer in layers.items()}


def signature_statement(name: str, files: Mapping[str, str], manifest: Descriptor | None = None) -> dict[str, Any]:
    """What is to be signed of a model.

    Args:
        name: of the model, for people.
        files: SHA-256 in hex by path.
        manifest: the artifact that holds them.
    """
    ordered = dict(sorted(files.items()))
    predicate: dict[str, Any] = {
        # As model-signing verifies a folder: nothing beside the files, but what this system keeps there itself.
        "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False},
        "resources": [{"name": path, "algorithm": "sha256", "digest": digest} for path, digest in ordered.items()],
    }
    if manifest is not None:
        predicate["manifest"] = {
            "mediaType": manifest.media_type,
            "digest": {"sha256": manifest.hex},
            "size": manifest.size,
        }
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": _root(ordered.values())}}],
        "predicateType": SIGNATURE_TYPE,
        "predicate": predicate,
    }


def _root(digests: Any) -> str:
    return hashlib.sha256(b"".join(bytes.fromhex(one) for one in digests)).hexdigest()

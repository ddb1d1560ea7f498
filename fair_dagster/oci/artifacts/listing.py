"""Artifacts as they are found: what kind, which files, which metadata; one by name, or those of a repository.

Old media types and names are read. What is written stands in ``forms``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fair_dagster.domain.errors import FairError, NotFoundError, RefusedError
from fair_dagster.oci.artifacts.forms import CONFIG_TYPE, METADATA_TITLES
from fair_dagster.oci.descriptors import Descriptor, Manifest, digest_of
from fair_dagster.oci.metadata import ModelMetadata
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.registries import Registries
from fair_dagster.oci.registry.transfers import in_parallel

_LISTING_THREADS = 8
_FILEPATH = "org.cncf.model.filepath"
_CONFIG_BYTES = 4 << 20


@dataclass(frozen=True)
class Artifact:
    """A manifest where it was found. ``metadata`` is None where there is none, or none was looked for."""

    reference: Reference
    manifest: Manifest
    metadata: ModelMetadata | None = None

    @property
    def pinned(self) -> Reference:
        """By digest: it means the same for ever."""
        return self.reference.at(self.manifest.digest)

    @property
    def size(self) -> int:
        """Bytes of its blobs."""
        return sum(blob.size for blob in self.manifest.blobs)

    @property
    def files(self) -> tuple[tuple[str, Descriptor], ...]:
        """Its files with the names under which they are pulled."""
        return tuple((file_title(layer), layer) for layer in self.manifest.layers)

    def document(self) -> dict[str, Any]:
        """For machines."""
        manifest = self.manifest
        return {
            "reference": str(self.reference),
            "digest": manifest.digest,
            "media_type": manifest.media_type,
            "artifact_type": manifest.artifact_type,
            "size": self.size,
            "annotations": dict(manifest.annotations),
            "subject": manifest.subject.digest if manifest.subject else None,
            "files": [
                {"title": title, "media_type": layer.media_type, "digest": layer.digest, "size": layer.size}
                for title, layer in self.files
            ],
            "manifests": [entry.document() for entry in manifest.manifests],
            "metadata": self.metadata.document() if self.metadata else None,
        }


@dataclass(frozen=True)
class Listing:
    """Artifacts of a repository in the order of their tags, and the tags that could not be read."""

    artifacts: Sequence[Artifact]
    problems: Mapping[str, str] = field(default_factory=dict)


def file_title(layer: Descriptor) -> str:
    """The name under which a layer is laid down: its title, ModelPack's path, or its digest where it has neither."""
    return layer.title or layer.annotations.get(_FILEPATH) or f"sha256-{layer.hex}"


def look(registries: Registries, reference: Reference) -> Artifact:
    """What is at ``reference``, with its metadata.

    Raises:
        As ``Registries``; RefusedError: the manifest or the metadata is malformed.
    """
    manifest = registries.manifest(reference)
    return Artifact(reference, manifest, _metadata(registries, reference, manifest))


def list_artifacts(
    registries: Registries,
    repository: Reference,
    *,
    artifact_type: str | None = None,
    annotations: Mapping[str, str | None] | None = None,
    hidden: bool = False,
) -> Listing:
    """The tagged artifacts of a repository that match; a tag that cannot be read is told and hinders no other.

    Args:
        annotations: which a manifest must have; None for any value.
        hidden: also tags by which tools keep what refers to a manifest.
    """
    tags = sorted(registries.tags(repository, hidden=hidden))
    found = in_parallel([_reading(registries, repository.with_tag(tag)) for tag in tags], threads=_LISTING_THREADS)
    problems = {tag: one for tag, one in zip(tags, found, strict=True) if isinstance(one, str)}
    artifacts = [one for one in found if isinstance(one, Artifact)]
    return Listing([one for one in artifacts if matches(one.manifest.descriptor, artifact_type, annotations)], problems)


def matches(
    found: Descriptor, artifact_type: str | None = None, annotations: Mapping[str, str | None] | None = None
) -> bool:
    """Whether a manifest is of a type and has annotations."""
    if artifact_type is not None and found.artifact_type != artifact_type:
        return False
    wanted = (annotations or {}).items()
    return all(name in found.annotations and value in {None, found.annotations[name]} for name, value in wanted)


def _reading(registries: Registries, reference: Reference) -> Callable[[object], Artifact | str | None]:
    def read(_: object) -> Artifact | str | None:
        try:
            return Artifact(reference, registries.manifest(reference))
        except NotFoundError:
            # Removed since the tags were listed; or a registry lists tags whose manifest is gone.
            return None
        except FairError as error:
            return str(error)

    return read


def _metadata(registries: Registries, reference: Reference, manifest: Manifest) -> ModelMetadata | None:
    told = ModelMetadata.from_annotations(manifest.annotations)
    derived = digest_of(told.json())
    for blob in _candidates(manifest):
        if blob.digest == derived:
            # The annotations tell all of it, and the digest says so: the blob itself need not be asked for.
            return told
        if blob.size <= _CONFIG_BYTES:
            content = registries.read_blob(reference, blob)
            try:
                return ModelMetadata.parse(content, f"the metadata of {reference}")
            except RefusedError:
                # Somebody else's config of the same media type: what the annotations say is still told.
                continue
    return None if told.is_empty else told


def _candidates(manifest: Manifest) -> Iterator[Descriptor]:
    if manifest.is_index:
        return
    if manifest.config.media_type == CONFIG_TYPE:
        yield manifest.config
    yield from (layer for layer in manifest.layers if layer.title in METADATA_TITLES)

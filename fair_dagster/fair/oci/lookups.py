"""Looking at registries: one artifact, those of a repository, repositories, and what refers to an artifact."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fair_dagster.domain.errors import RefusedError
from fair_dagster.fair.oci.client import RegistryPart, to_reference

if TYPE_CHECKING:
    from fair_dagster.oci.artifacts.listing import Artifact, Listing
    from fair_dagster.oci.descriptors import Descriptor
    from fair_dagster.oci.references import Reference


class Lookups(RegistryPart):
    """What ``Fair.oci`` looks up."""

    def show(self, reference: "Reference | str") -> "Artifact":
        """What an artifact holds: its manifest, and the metadata of the model. No file is fetched."""
        from fair_dagster.oci.artifacts.listing import look

        source = to_reference(reference)
        return look(self.client(source), source)

    def digest(self, reference: "Reference | str") -> str:
        """The digest that a reference has now, e.g. ``sha256:…``."""
        source = to_reference(reference)
        return self.client(source).digest_of(source)

    def list(
        self,
        repository: "Reference | str",
        *,
        artifact_type: str | None = None,
        annotations: Mapping[str, str | None] | None = None,
        hidden: bool = False,
    ) -> "Listing":
        """The tagged artifacts of a repository; a tag that cannot be read hinders no other.

        Args:
            artifact_type: only artifacts of this type.
            annotations: only artifacts that have these; None for any value.
            hidden: also the tags by which tools keep what refers to a manifest.
        """
        from fair_dagster.oci.artifacts.listing import list_artifacts

        place = to_reference(repository)
        return list_artifacts(
            self.client(place), place, artifact_type=artifact_type, annotations=annotations, hidden=hidden
        )

    def repositories(self, registry: str) -> tuple[str, ...]:
        """The names of a registry's repositories, where it lists them.

        Raises:
            RefusedError: ``registry`` names none, like ``registry.example.org``.
        """
        anywhere = to_reference(f"{registry}/any")
        if anywhere.registry != registry:
            problem = "it names no registry, like registry.example.org, and no repository of one"
            raise RefusedError(repr(registry), [problem])
        return tuple(self.client(anywhere).repositories(registry))

    def referrers(
        self,
        reference: "Reference | str",
        *,
        artifact_type: str | None = None,
        annotations: Mapping[str, str | None] | None = None,
    ) -> "tuple[Descriptor, ...]":
        """What refers to an artifact: signatures, attestations, images, finetuned models.

        Args:
            artifact_type: only those of this type.
            annotations: only those that have these; None for any value.
        """
        from fair_dagster.oci.artifacts.listing import matches

        source = to_reference(reference)
        found = self.client(source).referrers(source)
        return tuple(one for one in found if matches(one, artifact_type, annotations))

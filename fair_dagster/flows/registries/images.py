"""Images of models by the settings: which base, beside which model. Building itself belongs to ``oci``."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fair_dagster.flows.services import Services
from fair_dagster.flows.trust.acceptance import require_trusted
from fair_dagster.oci.images.building import Built, build_image, image_reference
from fair_dagster.oci.images.documents import USER, Kind, Platform

if TYPE_CHECKING:
    from fair_dagster.oci.references import Reference
    from fair_dagster.oci.registry.blobs import Progress
    from fair_dagster.oci.registry.registries import Registries


def make_image(
    services: Services,
    model: "Reference",
    target: "Reference | None" = None,
    *,
    kind: Kind = "modelcar",
    platforms: Sequence[Platform] = (Platform(),),
    base: str | None = None,
    user: str = USER,
    registries: "Registries | None" = None,
    progress: "Progress | None" = None,
) -> Built:
    """Build an image of a model that is in a registry. Done again it changes nothing.

    Args:
        target: a tag; without, ``<tag>-<kind>`` beside the model.
        base: as ``oci.image_building.build_image``; that of the settings without.
        registries: the client for what a person has typed; that of the settings without.

    Raises:
        RefusedError: the model is unsigned, or its signature does not verify, where the settings want one.
        As ``build_image``.
    """
    client = registries or services.registries
    trusted = require_trusted(services, model, registries=client)
    # What was verified is what goes into the image, wherever the tag leads by now.
    source = model if trusted is None else replace(model, digest=trusted.pinned.digest)
    return build_image(
        client,
        source,
        target or image_reference(model, kind),
        kind=kind,
        platforms=platforms,
        base=base or services.settings.modelcar_base,
        user=user,
        progress=progress,
    )

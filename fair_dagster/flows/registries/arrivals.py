"""What becomes of a model that was pushed to a watched repository: checked, registered, made an image of.

Each of the three may be done again and then changes nothing. Which pushes are news stands in ``oci_pushes``.
"""

from dataclasses import dataclass

from fair_dagster.domain.errors import NotFoundError
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.flows.registries import models
from fair_dagster.flows.registries.images import make_image
from fair_dagster.flows.services import Services
from fair_dagster.flows.trust.acceptance import require_trusted
from fair_dagster.flows.trust.policy import require_allowed
from fair_dagster.oci.references import Reference


@dataclass(frozen=True)
class CheckedArrival:
    """A model that may be used. ``note`` says who vouches for it."""

    reference: Reference
    note: str


@dataclass(frozen=True)
class Registered:
    """What came of a registration.

    Attributes:
        item_id: of the item that stands for the model; empty where none does, and ``note`` says why.
        changes: what was written; None where nothing had to be.
    """

    item_id: str
    note: str
    changes: ChangeSet | None = None


def check(services: Services, reference: str) -> CheckedArrival:
    """Hold a pushed model against trust and policy.

    Raises:
        NotFoundError: the registry has no such artifact.
        RefusedError: it is not signed as it has to be, or policy denies it; every reason is named.
        As ``Registries``.
    """
    pinned = Reference.parse(reference)
    services.registries.image_manifest(pinned)
    # Both are asked: policy may want more of a model than that somebody has signed it.
    allowed, verified = require_allowed(services, pinned), require_trusted(services, pinned)
    verified = verified or allowed
    if verified is None:
        return CheckedArrival(
            pinned, f"{pinned}: neither FAIR_REQUIRE_SIGNED nor FAIR_ALLOWED_REGISTRIES asks for more"
        )
    names = ", ".join(sorted({one.key.name for one in verified.signatures}))
    return CheckedArrival(verified.pinned, f"{pinned} is signed by {names}")


def register(services: Services, reference: str) -> Registered:
    """Register a pushed model, unless an item names it already: what we pushed ourselves comes back here as well.

    One without an item is left to its image: nothing tells what it expects.

    Raises:
        As ``oci_models.open_model`` and ``oci_models.register``.
    """
    pinned = Reference.parse(reference)
    if item_id := models.is_known(services.catalog, pinned):
        return Registered(item_id, f"{item_id} names it already")
    try:
        opened = models.open_model(services, pinned)
    except NotFoundError as error:
        # The artifact itself was there a moment ago: it is its item that is not.
        return Registered("", f"not registered: {'; '.join(error.problems)}")
    if item_id := models.stands_here(services.catalog, opened):
        return Registered(item_id, f"{item_id} stands in a folder here, with the same files")
    changes = models.register(services, opened)
    slug = models.slug_of(opened)
    return Registered(slug, f"registered as base model {slug}", changes)


def build_image(services: Services, reference: str) -> Reference | None:
    """Build the image of a model beside it; None where the settings want none.

    Raises:
        As ``model_images.make_image``.
    """
    kind = services.settings.oci_image
    if kind == "none":
        return None
    built = make_image(services, Reference.parse(reference), kind=kind)
    return built.pinned

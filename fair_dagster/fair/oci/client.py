"""What every part of ``Fair.oci`` shares: references, and the client that asks their registries."""

import warnings
from typing import TYPE_CHECKING

from fair_dagster.fair.part import Part, Tell
from fair_dagster.flows.services import Services
from fair_dagster.oci.references import Reference

if TYPE_CHECKING:
    from fair_dagster.oci.registry.registries import Registries


class RegistryPart(Part):
    """A concern of ``Fair.oci``.

    Args:
        trusts_references: ask the registries of references even where they are at private addresses.
    """

    def __init__(self, services: Services, tell: Tell = warnings.warn, *, trusts_references: bool = False) -> None:
        super().__init__(services, tell)
        self.trusts_references = trusts_references

    def client(self, *references: "Reference | str") -> "Registries":
        """The client that asks the registries of ``references``: what ``Fair.predict`` takes, and all methods use."""
        if not self.trusts_references:
            return self.services.registries
        from fair_dagster.oci.registry.registries import Registries

        hosts = (to_reference(one).api_host for one in references)
        # What the settings say of a host comes last, and counts.
        trusted = (*hosts, *self.settings.trusted_registries)
        return Registries(trusted, locks=self.settings.cache_path / "locks")


def to_reference(reference: Reference | str) -> Reference:
    """A reference of its text.

    Raises:
        RefusedError: it is none.
    """
    return reference if isinstance(reference, Reference) else Reference.parse(reference)

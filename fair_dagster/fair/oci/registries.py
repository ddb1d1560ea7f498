"""``Oci``: everything a user does with registries. What it does stands in the modules beside this one."""

from functools import cached_property
from typing import Self

from fair_dagster.fair.oci.arrivals import Arrivals
from fair_dagster.fair.oci.crawls import Crawls
from fair_dagster.fair.oci.lookups import Lookups
from fair_dagster.fair.oci.policies import Policies
from fair_dagster.fair.oci.signatures import Signatures
from fair_dagster.fair.oci.transfers import Transfers


class Oci(Transfers, Lookups, Crawls, Signatures, Arrivals):
    """Models as artifacts of container registries.

    A reference is ``registry/repository:tag``, or ``…@sha256:…`` for what stays the same for ever. Registries at
    private addresses are asked only where the settings name them: a reference may come from anybody. Where a person
    has typed it, ``trusting_references()`` asks its registry as well.

    Every method raises ``UnreachableError`` when a registry does not answer, ``ServiceError`` when it refuses or
    answers nonsense, ``NotFoundError`` when it says that something is not there, ``RefusedError`` for what is no
    reference.
    """

    def trusting_references(self) -> Self:
        """As this, for references that a person has typed: their registries may be at private addresses.

        One without TLS that is not on this machine has to be in the settings as ``http://host:port`` all the same.
        """
        return type(self)(self.services, self._tell, trusts_references=True)

    @cached_property
    def policy(self) -> Policies:
        """Which models may be deployed, and which artifacts may come in."""
        return Policies(self.services, self._tell, trusts_references=self.trusts_references)

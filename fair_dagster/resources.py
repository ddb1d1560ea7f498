"""Dagster resources: thin over the clients that the flows use."""

from functools import cached_property
from pathlib import Path

import dagster as dg

from fair_dagster.flows.services import Services
from fair_dagster.settings import Settings


class FairResource(dg.ConfigurableResource[Services]):
    """Opens the catalog, ZenML and the artifact store as the ``FAIR_*`` settings say.

    The environment is read when a run starts, so that a code location follows a changed setting.
    """

    home: str = ""

    @cached_property
    def services(self) -> Services:
        settings = Settings()
        return Services(Settings(home=Path(self.home)) if self.home else settings)

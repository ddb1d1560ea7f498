"""Dagster resources: thin over the clients that the flows use."""

from functools import cached_property, lru_cache
from typing import Any

import dagster as dg

from fair_dagster.flows.services import Services
from fair_dagster.orchestration.process_tags import note_process
from fair_dagster.settings import Settings


class FairResource(dg.ConfigurableResource[Services]):
    """Opens the catalog, ZenML and the artifact store as the ``FAIR_*`` settings say.

    The environment is read when a run starts, so that a code location follows a changed setting. ``values`` hold
    settings that win over it: those of a ``Fair`` that was made with settings of its own. Base models are those of one
    commit from the first use to the end of the run.
    """

    values: dict[str, Any] = {}  # noqa: RUF012 - a field of a pydantic model, copied for each instance

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Note which process executes the run: every run of ours passes here before its first step."""
        if context.run is not None and context.instance is not None:
            note_process(context.instance, context.run)

    @cached_property
    def services(self) -> Services:
        return shared_services(Settings(**self.values).pinned())


@lru_cache(maxsize=4)
def shared_services(settings: Settings) -> Services:
    """The same clients for equal settings: sensors pay once for opening ZenML and for reading the catalog's index."""
    return Services(settings)

"""``Fair``: everything a user does, as one Python class. The command line adds only printing.

Reads go straight to the catalog and ZenML. Everything that changes something is checked first, then executed as a
Dagster run, so that the UI shows what the command line did. What it does stands in the modules beside this one, a
concern each.

See docs/decisions/0053.
"""

import warnings
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fair_dagster.domain import items
from fair_dagster.fair.base_models import BaseModels
from fair_dagster.fair.catalog import Catalog
from fair_dagster.fair.datasets import Datasets
from fair_dagster.fair.finetunes import Finetunes
from fair_dagster.fair.items import Items
from fair_dagster.fair.part import Tell
from fair_dagster.fair.predictions import Predictions
from fair_dagster.fair.runs import Runs
from fair_dagster.fair.stacks import Stacks
from fair_dagster.fair.tracking import Tracking
from fair_dagster.fair.versions import Versions
from fair_dagster.fair.workers import Workers
from fair_dagster.flows.services import Services
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from fair_dagster.domain.items.stac import Item
    from fair_dagster.fair.oci.registries import Oci


class Fair(BaseModels, Datasets, Finetunes, Versions, Predictions, Runs, Items, Catalog):
    """One installation: a catalog, a ZenML, a Dagster instance and an artifact store.

    Args:
        settings: how to reach them; by default what the ``FAIR_*`` variables say.
        tell: takes remarks, as on an item that cannot be read and is left out of a list; by default they are warnings.
    """

    def __init__(self, settings: Settings | None = None, *, tell: Tell = warnings.warn) -> None:
        super().__init__(Services(settings or Settings()), tell)

    @cached_property
    def oci(self) -> "Oci":
        """Models as artifacts of container registries."""
        from fair_dagster.fair.oci.registries import Oci

        return Oci(self.services, self._tell)

    @cached_property
    def stacks(self) -> Stacks:
        """ZenML's stacks, on which trainings run."""
        return Stacks(self.services, self._tell)

    @cached_property
    def tracking(self) -> Tracking:
        """What the experiment tracker has not been sent yet."""
        return Tracking(self.services, self._tell)

    @cached_property
    def workers(self) -> Workers:
        """The processes that execute what other machines hand out."""
        return Workers(self.services, self._tell)

    def init(self) -> Path:
        """Make the folders, the empty catalog and the Dagster instance; what is there stays."""
        from fair_dagster.orchestration.instance import prepare_instance

        prepare_instance(self.settings)
        for collection in items.COLLECTIONS:
            self.services.catalog.refresh(collection)
        return self.settings.home

    def register_artifact(self, reference: str) -> "Item | None":
        """As ``oci.register``: a model of a registry becomes a base model."""
        return self.oci.register(reference)

"""The clients that flows act through, opened on first use so that a flow pays only for what it needs."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from fair_dagster.catalog.opening import open_store
from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain.items.coverage import Knowledge
from fair_dagster.settings import Settings
from fair_dagster.storage.opening import open_artifacts
from fair_dagster.storage.store import ArtifactStore

if TYPE_CHECKING:
    from fair_dagster.catalog.validation.validator import Validator
    from fair_dagster.oci.registry.registries import Registries
    from fair_dagster.pipelines.zenml.model_versions import ModelVersions
    from fair_dagster.pipelines.zenml.runs import Runs
    from fair_dagster.pipelines.zenml.stacks import Stacks
    from fair_dagster.pipelines.zenml.stages import Stages


@dataclass(frozen=True)
class Services:
    """The clients of one installation."""

    settings: Settings

    @cached_property
    def catalog(self) -> CatalogStore:
        return open_store(self.settings)

    @cached_property
    def artifacts(self) -> ArtifactStore:
        return open_artifacts(self.settings)

    @cached_property
    def validator(self) -> "Validator":
        from fair_dagster.catalog.validation.validator import Validator

        return Validator(self.settings)

    @cached_property
    def knowledge(self) -> Knowledge:
        """What properties are derived from beside the item: the vocabulary, and countries."""
        from fair_dagster.catalog.validation.schemas import vocabulary
        from fair_dagster.imagery.countries import country_of

        return Knowledge(vocabulary(), country_of)

    @cached_property
    def versions(self) -> "ModelVersions":
        from fair_dagster.pipelines.zenml.model_versions import ModelVersions

        return ModelVersions(self.settings)

    @cached_property
    def stages(self) -> "Stages":
        from fair_dagster.pipelines.zenml.stages import Stages

        return Stages(self.settings)

    @cached_property
    def stacks(self) -> "Stacks":
        from fair_dagster.pipelines.zenml.stacks import Stacks

        return Stacks(self.settings)

    @cached_property
    def zenml_runs(self) -> "Runs":
        from fair_dagster.pipelines.zenml.runs import Runs

        return Runs(self.settings)

    @cached_property
    def registries(self) -> "Registries":
        from fair_dagster.oci.registry.registries import Registries

        return Registries(self.settings.trusted_registries, locks=self.settings.cache_path / "locks")

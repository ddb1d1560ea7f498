"""Finetunes: trainings that start from a base model and a dataset, and make a version of a model."""

from contextlib import suppress

from fair_dagster.domain.errors import FairError
from fair_dagster.domain.requests import FinetuneRequest
from fair_dagster.domain.versions import named_version
from fair_dagster.fair.part import Part
from fair_dagster.flows.finetunes import training
from fair_dagster.flows.finetunes.training import Ask
from fair_dagster.orchestration.runs.started import Started


class Finetunes(Part):
    """What ``Fair`` does to train models."""

    def finetune(self, ask: Ask) -> Started:
        """Check a finetune, let ZenML allocate its version, and start the run. The subject is the version's id.

        Raises:
            RefusedError: with every reason at once; nothing was left behind.
        """
        return self._start_finetune(training.check(self.services, ask))

    def rerun(self, version_id: str) -> Started:
        """Train a version's configuration again, as a new version of the same model.

        Raises:
            NotFoundError: no such version.
            RefusedError: it cannot be trained again; every reason is named.
        """
        return self._start_finetune(training.check_rerun(self.services, *named_version(version_id)))

    def _start_finetune(self, request: FinetuneRequest) -> Started:
        """Let ZenML allocate a version for ``request`` and start the run that fills it, or leave nothing behind."""
        from fair_dagster.flows.finetunes import allocations
        from fair_dagster.orchestration import keys
        from fair_dagster.orchestration.instance import add_partition, delete_partition
        from fair_dagster.orchestration.runs.launches import Launch

        version = allocations.allocate(self.services, request)
        partitions = keys.finetunes_name(request.base_model)
        launch = Launch(
            keys.finetune_job(request.base_model),
            partition=version.id,
            tags={
                keys.TAG_MODEL: request.model_name,
                keys.TAG_VERSION: version.id,
                keys.TAG_ZENML_VERSION: version.uuid,
            },
        )
        try:
            add_partition(self.settings, partitions, version.id)
            return self._start(launch, version.id)
        except Exception:
            allocations.withdraw(self.services, version)
            with suppress(FairError):
                delete_partition(self.settings, partitions, version.id)
            raise

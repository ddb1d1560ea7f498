"""Versions of finetuned models: looked at, compared, promoted, archived, deleted.

A change leaves ZenML, the catalog and Dagster in step when it fails. How versions are made stands in ``finetunes``.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fair_dagster.domain import items
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.requests import FinetuneRequest
from fair_dagster.domain.versions import Stage, VersionRecord, named_version
from fair_dagster.fair.part import Part
from fair_dagster.flows import items as item_flow
from fair_dagster.flows.base_models import registration

if TYPE_CHECKING:
    import pandas as pd


class Versions(Part):
    """What ``Fair`` does with the versions of finetuned models."""

    def models(self) -> tuple[str, ...]:
        """The finetuned models that ZenML knows."""
        return self.services.versions.families()

    def versions(self, model_name: str) -> list[VersionRecord]:
        """The versions of a finetuned model, published or not; none where ZenML does not know it."""
        return self.services.versions.list(model_name)

    def version(self, version_id: str) -> VersionRecord:
        """A version by its id, ``<model>-v<number>``.

        Raises:
            NotFoundError: no such version.
        """
        return self.services.versions.get(*named_version(version_id))

    def compare(self, version_ids: Sequence[str]) -> "pd.DataFrame":
        """Versions side by side: a row each; stage, parents, overrides and metrics as columns.

        Raises:
            NotFoundError: one of them is not there.
        """
        from fair_dagster.flows.finetunes.comparison import compare

        return compare([self.version(version_id) for version_id in version_ids])

    def promote(self, version_id: str) -> Item:
        """Put a version into production and publish it; the former production version is deprecated.

        Raises:
            NotFoundError: no such version.
            RefusedError: it cannot be published; nothing has changed.
        """
        return item_flow.find(self.services.catalog, self._change_stage(version_id, "production").id)

    def archive(self, version_id: str) -> VersionRecord:
        """Take a version out of use; its item, when it has one, is deprecated.

        Raises:
            NotFoundError: no such version.
        """
        return self._change_stage(version_id, "archived")

    def delete(self, version_id: str) -> None:
        """Delete a version: its item and artifacts from the catalog, itself from ZenML, its partition from Dagster.

        In this order: a catalog that cannot be written keeps the version. With its last version a model goes too.

        Raises:
            NotFoundError: no such version.
            RefusedError: it is being trained.
        """
        from fair_dagster.flows.finetunes import allocations, tracking
        from fair_dagster.orchestration import keys
        from fair_dagster.orchestration.instance import delete_partition
        from fair_dagster.orchestration.runs.records import going

        name, number = named_version(version_id)
        version = self.services.versions.get(name, number)
        allocations.require_at_rest(self.services.zenml_runs, version, going(self.services, version.id))
        self._recompute(name, without=version.uuid)
        try:
            self.services.versions.delete(name, number)
        except Exception:
            self._recompute(name)
            raise
        if request := FinetuneRequest.of(version):
            delete_partition(self.settings, keys.finetunes_name(request.base_model), version.id)
            tracking.forget(self.services, version.uuid)
            allocations.forget(self.services.artifacts, self.services.settings, version.id, version.uuid)
        allocations.delete_empty_model(self.services.versions, name)

    def _change_stage(self, version_id: str, stage: Stage) -> VersionRecord:
        """Change a stage in ZenML and let the catalog follow; when it cannot, ZenML is set back."""
        from fair_dagster.flows.publication import families

        name, number = named_version(version_id)
        before = self.services.versions.list(name)
        version = families.set_stage(self.services, name, number, stage)
        try:
            self._publish(version)
        except Exception:
            families.undo_stage(self.services, name, number, before)
            raise
        return version

    def _publish(self, version: VersionRecord) -> None:
        """Recompute the family as the partition of ``version``, or by name where that would claim too much.

        That is when its base model is not here, or when the version is not one that the catalog holds.
        """
        request = FinetuneRequest.of(version)
        slugs = {registration.slug_of_folder(f) for f in registration.usable_folders(self.settings.models)}
        in_catalog = version.stage == "production" or self._is_published(version)
        if request is None or request.base_model not in slugs or not in_catalog:
            self._recompute(version.name)
            return
        from fair_dagster.orchestration import keys
        from fair_dagster.orchestration.instance import add_partition

        add_partition(self.settings, keys.finetunes_name(request.base_model), version.id)
        self._execute(keys.publish_job(request.base_model), partition=version.id)

    def _is_published(self, version: VersionRecord) -> bool:
        item = self.services.catalog.get(ItemKey(items.LOCAL_MODELS, version.id))
        return item is not None and item["properties"].get(items.ZENML_UID) == version.uuid

    def _recompute(self, name: str, *, without: str = "") -> None:
        """Recompute a family by its name; ``without`` is the UUID of a version that counts as gone."""
        from fair_dagster.orchestration import keys, run_config

        self._execute(keys.RECOMPUTE_JOB, config=run_config.configure_recompute(name, without=without))

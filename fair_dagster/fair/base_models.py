"""Base models: folders under ``models/`` that finetunes start from, validated, registered, followed on a branch.

Models that arrive through registries are registered by ``fair.oci``.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from fair_dagster.domain import items
from fair_dagster.domain.errors import ProblemsError
from fair_dagster.domain.items.stac import Item
from fair_dagster.fair.part import Part
from fair_dagster.flows import items as item_flow
from fair_dagster.flows.base_models import registration

if TYPE_CHECKING:
    from fair_dagster.flows.base_models.merges import Followed, Merge


class BaseModels(Part):
    """What ``Fair`` does with base models."""

    def base_model_folders(self) -> tuple[Path, ...]:
        """The folders of base models that there are, registered or not."""
        return tuple(registration.folders(self.settings.models))

    def validate_base_model(self, name: str, *, strict: bool = False) -> registration.Validation:
        """Everything that is wrong with a base model folder, by slug, folder name or path."""
        folder = registration.find_folder(self.settings.models, name)
        return registration.validate(self.services, folder, strict=strict)

    def register_base_model(self, name: str, *, strict: bool = False) -> Item:
        """Publish a base model folder as the active version of its slug.

        Raises:
            NotFoundError: no such folder.
            RefusedError: it is not valid; every reason is named.
        """
        folder = registration.find_folder(self.settings.models, name)
        registration.require(self.services, folder, strict=strict)
        slug = registration.slug_of_folder(folder)
        from fair_dagster.orchestration import keys

        self._execute(keys.BASE_MODELS_JOB, assets=[keys.base_model(slug).path])
        return self.base_model(slug)

    def sync_base_models(self) -> "list[Followed]":
        """Fetch the branch of ``FAIR_MODELS_REPO`` and bring every base model in step; refusals are in the result.

        Raises:
            ServiceError: the repository cannot be read.
        """
        from fair_dagster.flows.base_models.merges import look_at_all

        return [self._sync(merge) for merge in look_at_all(self.services.catalog, self.services.settings).merges]

    def base_models(self, *, all_versions: bool = False) -> list[Item]:
        """The registered base models: the active version of each, or all."""
        return self._items(items.BASE_MODELS, all_versions)

    def base_model(self, name: str) -> Item:
        """A registered base model by its slug, or a former version by its id.

        Raises:
            NotFoundError: no such base model.
        """
        return item_flow.find(self.services.catalog, name, (items.BASE_MODELS,))

    def _sync(self, merge: "Merge") -> "Followed":
        """Bring one folder in step, in a run of its own: its refusal stops no other."""
        from fair_dagster.flows.base_models.merges import Followed, standing
        from fair_dagster.orchestration import keys, run_config

        tags = {keys.TAG_MODEL: merge.slug, **keys.commit_tags(merge.commit.sha, merge.commit.subject)}
        try:
            self._execute(keys.SYNC_JOB, config=run_config.configure_sync(merge.folder), tags=tags)
        except ProblemsError as error:
            return Followed(merge, "refused", error.problems)
        return Followed(merge, standing(self.services.catalog, merge.slug))

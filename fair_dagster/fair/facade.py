"""``Fair``: everything a user does, as one Python class. The command line adds only printing.

Reads go straight to the catalog and ZenML. Everything that changes something is checked first, then executed as a
Dagster run, so that the UI shows what the command line did.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fair_dagster.domain import items
from fair_dagster.domain.publication.changes import Item, ItemKey
from fair_dagster.domain.versions import VersionRecord, named_version
from fair_dagster.flows import catalog as catalog_flow
from fair_dagster.flows import datasets, predictions
from fair_dagster.flows import items as item_flow
from fair_dagster.flows import lineage as lineage_flow
from fair_dagster.flows.base_models import registration
from fair_dagster.flows.finetunes import training
from fair_dagster.flows.finetunes.training import Ask
from fair_dagster.flows.services import Services
from fair_dagster.orchestration.runs.started import Started
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from fair_dagster.domain.moving import Mode
    from fair_dagster.fair.acts import Reconciled
    from fair_dagster.flows.base_models.merges import Followed
    from fair_dagster.flows.moving import Moved
    from fair_dagster.flows.reconciliation.report import Progress
    from fair_dagster.oci.registry.registries import Registries
    from fair_dagster.orchestration.runs.records import Run
    from fair_dagster.pipelines.zenml.run_records import LogLine


class Fair:
    """One installation: a catalog, a ZenML, a Dagster instance and an artifact store.

    Args:
        settings: how to reach them; by default what the ``FAIR_*`` variables say.
        tell: takes remarks, as on an item that cannot be read and is left out of a list; by default they are warnings.
    """

    def __init__(self, settings: Settings | None = None, *, tell: Callable[[str], None] = warnings.warn) -> None:
        self.settings = settings or Settings()
        self._tell = tell

    @cached_property
    def services(self) -> Services:
        return Services(self.settings)

    def init(self) -> Path:
        """Make the folders, the empty catalog and the Dagster instance; what is there stays."""
        from fair_dagster.orchestration.instance import prepare_instance

        prepare_instance(self.settings)
        for collection in items.COLLECTIONS:
            self.services.catalog.refresh(collection)
        return self.settings.home

    # Base models

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
        from fair_dagster.fair.acts import register_base_model

        folder = registration.find_folder(self.settings.models, name)
        registration.require(self.services, folder, strict=strict)
        slug = registration.slug_of_folder(folder)
        register_base_model(self.services, slug)
        return self.base_model(slug)

    def register_artifact(self, reference: str) -> Item | None:
        """Register a model of a registry as a base model, and build its image; None where it brings no item.

        Raises:
            NotFoundError: there is no such artifact.
            RefusedError: it is not trusted, its item is not valid, or its name is taken; every reason is named.
            ServiceError: the registry refuses or does not answer.
        """
        from fair_dagster.fair.acts import register_artifact
        from fair_dagster.oci.references import Reference

        item_id = register_artifact(self.services, Reference.parse(reference))
        return self.item(item_id) if item_id else None

    def sync_base_models(self) -> "list[Followed]":
        """Fetch the branch of ``FAIR_MODELS_REPO`` and bring every base model in step; refusals are in the result.

        Raises:
            ServiceError: the repository cannot be read.
        """
        from fair_dagster.fair.acts import sync_base_models
        from fair_dagster.flows.base_models.merges import look_at_all

        return sync_base_models(self.services, look_at_all(self.services.catalog, self.services.settings))

    def base_models(self, *, all_versions: bool = False) -> list[Item]:
        return self._items(items.BASE_MODELS, all_versions)

    def base_model(self, name: str) -> Item:
        return item_flow.find(self.services.catalog, name, (items.BASE_MODELS,))

    # Datasets

    def create_dataset(self, spec: datasets.DatasetSpec, output: Path) -> Path:
        """Describe chips and labels as a STAC item and write it to ``output`` for ``register_dataset``."""
        item = datasets.create(self.services, spec)
        datasets.write_item(item, output)
        return output

    def register_dataset(self, item_path: Path) -> Item:
        """Publish the dataset of a ``stac-item.json``, with a checksummed copy of its chips and labels.

        Raises:
            RefusedError: the item, its chips or its labels cannot be used; every reason is named.
        """
        from fair_dagster.fair.acts import register_dataset

        slug = datasets.check(self.services.validator, self.services.knowledge, item_path).slug
        register_dataset(self.services, slug, item_path)
        return self.dataset(slug)

    def datasets(self, *, all_versions: bool = False) -> list[Item]:
        return self._items(items.DATASETS, all_versions)

    def dataset(self, name: str) -> Item:
        return item_flow.find(self.services.catalog, name, (items.DATASETS,))

    # Finetunes

    def finetune(self, ask: Ask) -> Started:
        """Check a finetune, let ZenML allocate its version, and start the run.

        Raises:
            RefusedError: with every reason at once; nothing was left behind.
        """
        from fair_dagster.fair.acts import start_finetune

        return start_finetune(self.services, training.check(self.services, ask))

    def rerun(self, version_id: str) -> Started:
        """Train a version's configuration again, as a new version of the same model."""
        from fair_dagster.fair.acts import start_finetune

        return start_finetune(self.services, training.check_rerun(self.services, *named_version(version_id)))

    # Versions

    def models(self) -> tuple[str, ...]:
        """The finetuned models that ZenML knows."""
        return self.services.versions.families()

    def versions(self, model_name: str) -> list[VersionRecord]:
        return self.services.versions.list(model_name)

    def version(self, version_id: str) -> VersionRecord:
        return self.services.versions.get(*named_version(version_id))

    def compare(self, version_ids: Sequence[str]) -> "pd.DataFrame":
        """Versions side by side: a row each; stage, parents, overrides and metrics as columns."""
        from fair_dagster.flows.finetunes.comparison import compare

        return compare([self.version(version_id) for version_id in version_ids])

    def promote(self, version_id: str) -> Item:
        """Put a version into production and publish it; the former production version is deprecated.

        Raises:
            NotFoundError: no such version.
            RefusedError: it cannot be published; nothing has changed.
        """
        from fair_dagster.fair.acts import change_stage

        return self.item(change_stage(self.services, *named_version(version_id), "production").id)

    def archive(self, version_id: str) -> VersionRecord:
        """Take a version out of use; its item, when it has one, is deprecated.

        Raises:
            NotFoundError: no such version.
        """
        from fair_dagster.fair.acts import change_stage

        return change_stage(self.services, *named_version(version_id), "archived")

    def delete(self, version_id: str) -> None:
        """Delete a version: its item and artifacts from the catalog, itself from ZenML, its partition from Dagster.

        In this order: a catalog that cannot be written keeps the version. With its last version a model goes too.

        Raises:
            NotFoundError: no such version.
            RefusedError: it is being trained.
        """
        from fair_dagster.fair.acts import delete_version

        delete_version(self.services, *named_version(version_id))

    # Predictions

    def predict(
        self,
        model: str,
        images: Path,
        *,
        overrides: Mapping[str, Any] | None = None,
        output: Path | None = None,
        registries: "Registries | None" = None,
    ) -> Started:
        """Start drawing features on ``images`` with a model. The subject is the GeoJSON file.

        Args:
            model: of the catalog, or ``oci://registry/repository@sha256:…``: an artifact with an item inside.
            registries: asks the registry of such an artifact; by default a client that trusts those of the settings.

        Raises:
            NotFoundError: no such model.
            RefusedError: parameters or images cannot be used; every reason is named.
        """
        from fair_dagster.fair.acts import start_prediction

        prepared = predictions.prepare(self.services, model, images, overrides or {}, output, registries=registries)
        return start_prediction(self.services, prepared)

    def predict_here(
        self,
        model: str,
        images: Path,
        *,
        overrides: Mapping[str, Any] | None = None,
        output: Path | None = None,
        registries: "Registries | None" = None,
    ) -> Path:
        """Draw features on ``images`` and wait; as ``predict``, but without Dagster, so that no run is recorded.

        Returns:
            The GeoJSON file.

        Raises:
            NotFoundError: no such model.
            RefusedError: parameters or images cannot be used; every reason is named.
            PipelineError: the model's code failed; the message is the cause.
        """
        prepared = predictions.prepare(self.services, model, images, overrides or {}, output, registries=registries)
        return predictions.run_here(self.services, prepared)

    # Runs

    def runs(self, limit: int = 20) -> list["Run"]:
        from fair_dagster.orchestration.runs.records import list_runs

        return list_runs(self.services, limit)

    def run(self, run_id: str) -> "Run":
        from fair_dagster.orchestration.runs.records import show_run

        return show_run(self.services, run_id)

    def logs(
        self, run_id: str, *, step: str | None = None, tail: int | None = None, since: datetime | None = None
    ) -> list["LogLine"]:
        """The log of a run, of all its steps or one; ``since`` is aware."""
        from fair_dagster.orchestration.runs.logs import logs

        return logs(self.services, run_id, step=step, tail=tail, since=since)

    def stop(self, run_id: str) -> "Run":
        """Stop a run that goes on, with the process that trains.

        Raises:
            NotFoundError: no such run.
            RefusedError: it has ended, runs on another machine, or inside a process that does more than this run.
        """
        from fair_dagster.orchestration.runs.records import stop_run

        return stop_run(self.services, run_id)

    # Items

    def item(self, name: str) -> Item:
        """An item by id, or the active version of a finetuned model by its name."""
        return item_flow.find(self.services.catalog, name)

    def local_models(self, *, all_versions: bool = False) -> list[Item]:
        """The published finetuned models: the promoted version of each, or all that ever were promoted."""
        return self._items(items.LOCAL_MODELS, all_versions)

    def href(self, item: Item) -> str:
        """Where people find an item of the catalog: a file path or a URL."""
        return self.services.catalog.href(ItemKey(item["collection"], item["id"]))

    def patch(self, name: str, change: Mapping[str, Any]) -> Item:
        """Merge-patch (RFC 7396) the fields of an item that belong to users.

        Raises:
            RefusedError: the patch touches managed fields; each is named.
        """
        return item_flow.patch(self.services, name, change)

    def lineage(self, name: str, *, published_only: bool = False) -> lineage_flow.FoundLineage:
        """Where an item, a finetuned model, a version or the file of a prediction comes from, and what came of it.

        Raises:
            NotFoundError: nothing has that name.
            ServiceError: ZenML cannot be asked; ``published_only`` does without it.
        """
        return lineage_flow.lineage(self.services, name, published_only=published_only)

    def refresh_collections(self) -> None:
        """Recompute the collection documents from their items, and check every item: an asset check a collection."""
        from fair_dagster.fair.acts import refresh_collections

        refresh_collections(self.services)

    def drift(self, *, checksums: bool = True, progress: "Progress | None" = None) -> "pd.DataFrame":
        """What differs from what it should be, a row a finding: collection, item, kind, detail, repair, family."""
        from fair_dagster.fair.acts import drift
        from fair_dagster.flows.reconciliation.report import table

        return table(drift(self.services, checksums=checksums, progress=progress))

    def reconcile(
        self, *, checksums: bool = True, all_deleted: bool = False, progress: "Progress | None" = None
    ) -> "Reconciled":
        """Repair what ``drift`` finds, and look again; ``all_deleted`` allows to remove every local model."""
        from fair_dagster.fair.acts import reconcile

        return reconcile(self.services, checksums=checksums, all_deleted=all_deleted, progress=progress)

    def validate_catalog(self, *, strict: bool = False) -> dict[str, list[catalog_flow.Checked]]:
        """What is wrong with each item, by collection."""
        return catalog_flow.validate_catalog(self.services, strict=strict)

    def export_catalog(self, folder: Path, mode: "Mode" = "empty", *, progress: "Progress | None" = None) -> "Moved":
        """Copy the catalog into ``folder`` as JSON files and compare; ``mode`` says what may be there already.

        Raises:
            RefusedError: the catalog is damaged, or ``folder`` holds something else; nothing was written.
        """
        from fair_dagster.flows.moving import export_catalog

        return export_catalog(self.settings, folder, mode, progress)

    def import_catalog(self, folder: Path, mode: "Mode" = "empty", *, progress: "Progress | None" = None) -> "Moved":
        """Load the JSON catalog in ``folder`` into the catalog and compare; otherwise as ``export_catalog``."""
        from fair_dagster.flows.moving import import_catalog

        return import_catalog(self.settings, folder, mode, progress)

    def _items(self, collection: str, all_versions: bool) -> list[Item]:
        return catalog_flow.listing(self.services.catalog, collection, self._tell, all_versions=all_versions)

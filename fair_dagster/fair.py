"""``Fair``: everything a user does, as one Python class. The command line adds only printing.

Reads go straight to the catalog and ZenML. Everything that changes something is checked first, then executed as a
Dagster run, so that the UI shows what the command line did.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fair_dagster.domain import items
from fair_dagster.domain.changes import Item, ItemKey
from fair_dagster.domain.errors import FairError, NotFoundError
from fair_dagster.domain.requests import FinetuneRequest
from fair_dagster.domain.slugs import split_version_id
from fair_dagster.domain.versions import Stage, VersionRecord
from fair_dagster.flows import allocations, base_models, datasets, finetunes, local_models, predictions
from fair_dagster.flows import catalog as catalog_flow
from fair_dagster.flows import items as item_flow
from fair_dagster.flows.finetunes import Ask
from fair_dagster.flows.services import Services
from fair_dagster.settings import Settings
from fair_dagster.started import Started

if TYPE_CHECKING:
    import pandas as pd

    from fair_dagster.pipelines.run_records import LogLine
    from fair_dagster.runs import Run


class Fair:
    """One installation: a catalog, a ZenML, a Dagster instance and an artifact store.

    Args:
        settings: how to reach them; by default what the ``FAIR_*`` variables say.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()

    @cached_property
    def services(self) -> Services:
        return Services(self.settings)

    def init(self) -> Path:
        """Make the folders, the empty catalog and the Dagster instance; what is there stays."""
        from fair_dagster.instance import prepare_instance

        prepare_instance(self.settings)
        for collection in items.COLLECTIONS:
            self.services.catalog.refresh(collection)
        return self.settings.home

    # Base models

    def validate_base_model(self, name: str, *, strict: bool = False) -> base_models.Validation:
        """Everything that is wrong with a base model folder, by slug, folder name or path."""
        folder = base_models.find_folder(self.settings.models, name)
        return base_models.validate(self.services, folder, strict=strict)

    def register_base_model(self, name: str, *, strict: bool = False) -> Item:
        """Publish a base model folder as the active version of its slug.

        Raises:
            NotFoundError: no such folder.
            RefusedError: it is not valid; every reason is named.
        """
        from fair_dagster import keys

        folder = base_models.find_folder(self.settings.models, name)
        base_models.require(self.services, folder, strict=strict)
        slug = base_models.slug_of_folder(folder)
        self._execute(keys.BASE_MODELS_JOB, assets=[keys.base_model(slug).path])
        return self.base_model(slug)

    def base_models(self, *, all_versions: bool = False) -> list[Item]:
        return self._items(items.BASE_MODELS, all_versions)

    def base_model(self, name: str) -> Item:
        return item_flow.find(self.services, name, (items.BASE_MODELS,))

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
        from fair_dagster import keys
        from fair_dagster.instance import add_partition, delete_partition

        slug = datasets.check(self.services, item_path).slug
        config = {"ops": {keys.DATASETS_OP: {"config": {"item": str(item_path.resolve())}}}}
        added = add_partition(self.settings, keys.DATASETS_PARTITIONS_NAME, slug)
        try:
            self._execute(keys.DATASETS_JOB, partition=slug, config=config)
        except Exception:
            # The error that led here is the one to be told: a disk that is full may refuse this as well.
            with suppress(FairError):
                if added:
                    delete_partition(self.settings, keys.DATASETS_PARTITIONS_NAME, slug)
            raise
        return self.dataset(slug)

    def datasets(self, *, all_versions: bool = False) -> list[Item]:
        return self._items(items.DATASETS, all_versions)

    def dataset(self, name: str) -> Item:
        return item_flow.find(self.services, name, (items.DATASETS,))

    # Finetunes

    def finetune(self, ask: Ask) -> Started:
        """Check a finetune, let ZenML allocate its version, and start the run.

        Raises:
            RefusedError: with every reason at once; nothing was left behind.
        """
        return self._start_finetune(finetunes.check(self.services, ask))

    def rerun(self, version_id: str) -> Started:
        """Train a version's configuration again, as a new version of the same model."""
        name, number = _version(version_id)
        return self._start_finetune(finetunes.check_rerun(self.services, name, number))

    def _start_finetune(self, request: FinetuneRequest) -> Started:
        from fair_dagster import keys
        from fair_dagster.execution import Launch, start
        from fair_dagster.instance import add_partition, delete_partition

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
            process = start(self.settings, launch)
        except Exception:
            allocations.withdraw(self.services, version)
            with suppress(FairError):
                delete_partition(self.settings, partitions, version.id)
            raise
        return Started(launch.run_id, version.id, self.services, process)

    # Versions

    def models(self) -> tuple[str, ...]:
        """The finetuned models that ZenML knows."""
        return self.services.versions.families()

    def versions(self, model_name: str) -> list[VersionRecord]:
        return self.services.versions.list(model_name)

    def version(self, version_id: str) -> VersionRecord:
        return self.services.versions.get(*_version(version_id))

    def compare(self, version_ids: Sequence[str]) -> "pd.DataFrame":
        """Versions side by side: a row each; stage, parents, overrides and metrics as columns."""
        from fair_dagster.flows.comparison import compare

        return compare([self.version(version_id) for version_id in version_ids])

    def promote(self, version_id: str) -> Item:
        """Put a version into production and publish it; the former production version is deprecated.

        Raises:
            NotFoundError: no such version.
            RefusedError: it cannot be published; nothing has changed.
        """
        return self.item(self._staged(version_id, "production").id)

    def archive(self, version_id: str) -> VersionRecord:
        """Take a version out of use; its item, when it has one, is deprecated.

        Raises:
            NotFoundError: no such version.
        """
        return self._staged(version_id, "archived")

    def _staged(self, version_id: str, stage: Stage) -> VersionRecord:
        name, number = _version(version_id)
        before = self.versions(name)
        version = local_models.set_stage(self.services, name, number, stage)
        try:
            self._publish(version)
        except Exception:
            local_models.undo_stage(self.services, name, number, before)
            raise
        return version

    def delete(self, version_id: str) -> None:
        """Delete a version: its item and artifacts from the catalog, itself from ZenML, its partition from Dagster.

        In this order: a catalog that cannot be written keeps the version. With its last version a model goes too.

        Raises:
            NotFoundError: no such version.
            RefusedError: it is being trained.
        """
        from fair_dagster import keys
        from fair_dagster.instance import delete_partition
        from fair_dagster.runs import going

        name, number = _version(version_id)
        version = self.services.versions.get(name, number)
        allocations.require_at_rest(self.services, version, going(self.services, version.id))
        self._recompute(name, without=version.uuid)
        try:
            self.services.versions.delete(name, number)
        except Exception:
            self._recompute(name)
            raise
        if request := FinetuneRequest.of(version):
            delete_partition(self.settings, keys.finetunes_name(request.base_model), version.id)
            allocations.forget(self.services, version.id, version.uuid)
        allocations.delete_empty_model(self.services, name)

    def _publish(self, version: VersionRecord) -> None:
        """Recompute the family as the partition of ``version``, or by name where that would claim too much.

        That is when its base model is not here, or when the version is not one that the catalog holds.
        """
        from fair_dagster import keys
        from fair_dagster.instance import add_partition

        request = FinetuneRequest.of(version)
        slugs = {base_models.slug_of_folder(f) for f in base_models.usable_folders(self.settings.models)}
        in_catalog = version.stage == "production" or self._is_published(version)
        if request is None or request.base_model not in slugs or not in_catalog:
            self._recompute(version.name)
            return
        add_partition(self.settings, keys.finetunes_name(request.base_model), version.id)
        self._execute(keys.publish_job(request.base_model), partition=version.id)

    def _is_published(self, version: VersionRecord) -> bool:
        item = self.services.catalog.get(ItemKey(items.LOCAL_MODELS, version.id))
        return item is not None and item["properties"].get(items.ZENML_UID) == version.uuid

    def _recompute(self, name: str, *, without: str = "") -> None:
        from fair_dagster import keys

        config = {
            "ops": {
                "configured_family": {"config": {"family": name}},
                "gather_family": {"config": {"without": without}},
            }
        }
        self._execute(keys.RECOMPUTE_JOB, config=config)

    # Predictions

    def predict(
        self,
        model: str,
        images: Path,
        *,
        overrides: Mapping[str, Any] | None = None,
        output: Path | None = None,
    ) -> Started:
        """Start drawing features on ``images`` with a model of the catalog. The subject is the GeoJSON file.

        Raises:
            NotFoundError: no such model.
            RefusedError: parameters or images cannot be used; every reason is named.
        """
        from fair_dagster import keys
        from fair_dagster.execution import Launch, start

        prepared = predictions.prepare(self.services, model, images, overrides or {}, output)
        config = {
            "model": prepared.model,
            "config_path": str(prepared.config_path),
            "output": str(prepared.output),
            "result_path": str(prepared.result_path),
        }
        launch = Launch(
            keys.PREDICT_JOB,
            config={"ops": {"predict_images": {"config": config}}},
            tags={keys.TAG_MODEL: prepared.model},
        )
        return Started(launch.run_id, str(prepared.output), self.services, start(self.settings, launch))

    # Runs

    def runs(self, limit: int = 20) -> list["Run"]:
        from fair_dagster.runs import list_runs

        return list_runs(self.services, limit)

    def run(self, run_id: str) -> "Run":
        from fair_dagster.runs import show_run

        return show_run(self.services, run_id)

    def logs(
        self, run_id: str, *, step: str | None = None, tail: int | None = None, since: datetime | None = None
    ) -> list["LogLine"]:
        """The log of a run, of all its steps or one; ``since`` is aware."""
        from fair_dagster.run_logs import logs

        return logs(self.services, run_id, step=step, tail=tail, since=since)

    def stop(self, run_id: str) -> "Run":
        """Stop a run that goes on, with the process that trains.

        Raises:
            NotFoundError: no such run.
            RefusedError: it has ended, runs on another machine, or inside a process that does more than this run.
        """
        from fair_dagster.runs import stop_run

        return stop_run(self.services, run_id)

    # Items

    def item(self, name: str) -> Item:
        """An item by id, or the active version of a finetuned model by its name."""
        return item_flow.find(self.services, name)

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

    def refresh_collections(self) -> None:
        """Recompute the collection documents from their items, and check every item: an asset check a collection."""
        from fair_dagster import keys

        self._execute(keys.COLLECTIONS_JOB)

    def validate_catalog(self, *, strict: bool = False) -> dict[str, list[catalog_flow.Finding]]:
        """What is wrong with each item, by collection."""
        return {
            collection: catalog_flow.validate_collection(self.services, collection, strict=strict)
            for collection in items.COLLECTIONS
        }

    def _items(self, collection: str, all_versions: bool) -> list[Item]:
        found = self.services.catalog.items(collection)
        return [item for item in found if all_versions or items.is_active(item)]

    def _execute(
        self,
        job: str,
        *,
        partition: str | None = None,
        config: Mapping[str, Any] | None = None,
        assets: Sequence[Sequence[str]] = (),
    ) -> str:
        from fair_dagster.execution import Launch, execute

        launch = Launch(job, partition=partition, config=config or {}, assets=assets)
        return execute(self.settings, launch)


def _version(version_id: str) -> tuple[str, int]:
    name, number = split_version_id(version_id)
    if number is None:
        raise NotFoundError(f"version {version_id!r}", ["a version is named <model>-v<number>, e.g. ramp-nepal-v3"])
    return name, number

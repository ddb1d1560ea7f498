"""The ops that call ZenML and write STAC: the steps an operator sees, each with its own log, time and retries.

They take names and partition keys, call a flow, and put what it did into metadata. What they do stands in ``flows``.
"""

import re
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence

import dagster as dg
from dagster._core.definitions.data_version import CODE_VERSION_TAG
from dagster._core.errors import DagsterPipesExecutionError  # Dagster raises it, and exports it nowhere.
from dagster._core.storage.tags import BACKFILL_ID_TAG

from fair_dagster import keys
from fair_dagster.domain import items
from fair_dagster.domain.causes import SEE_LOG
from fair_dagster.domain.changes import ChangeSet, ItemKey
from fair_dagster.domain.errors import PipelineError, RefusedError
from fair_dagster.domain.slugs import split_version_id
from fair_dagster.flows import allocations, backfills, finetunes, merges, predictions
from fair_dagster.flows.run_files import progress_file
from fair_dagster.metadata import Metadata, changes_metadata, item_metadata, load_plotting, training_metadata
from fair_dagster.pipelines.contract import folder_digest
from fair_dagster.pipelines.environment import zenml_environment
from fair_dagster.pipelines.metadata import PROGRESS_VARIABLE
from fair_dagster.resources import FairResource


class FamilyConfig(dg.Config):
    """Which finetuned model to recompute."""

    family: str


class GatherConfig(dg.Config):
    """``without``: the UUID of a version that is about to be deleted."""

    without: str = ""


class SyncConfig(dg.Config):
    """A folder under ``models/``, by its name."""

    folder: str


class PredictionConfig(dg.Config):
    """A prediction that ``Fair.predict`` has prepared."""

    config_path: str
    output: str
    result_path: str
    model: str


# What an asset waits for carries no data: the catalog and ZenML do.
_START = {"start": dg.In(dg.Nothing)}


@dg.op(ins=_START, tags={"dagster/kind": "stac"})
def families_of_partitions(context: dg.OpExecutionContext) -> list[str]:
    """The finetuned models that the partitions are versions of, each once."""
    chosen = require_partitions(context, "publication", "the stage sensor asks again where it must")
    return list(dict.fromkeys(split_version_id(key)[0] for key in chosen))


def require_partitions(
    context: dg.OpExecutionContext | dg.AssetExecutionContext, what: str, advice: str
) -> Sequence[str]:
    """The partition keys of a run, before it does anything.

    Raises:
        RefusedError: one was deleted. Dagster could not record what the run does, and would say so only after it was
            done.
    """
    try:
        return context.partition_keys
    except dg.DagsterInvalidInvocationError as error:
        reason = f"its partition was deleted after the run had been queued; {advice}"
        raise RefusedError(f"{what} of {context.run.tags.get('dagster/partition', 'a range')!r}", [reason]) from error


@dg.op(tags={"dagster/kind": "stac"})
def configured_family(config: FamilyConfig) -> list[str]:
    """The finetuned model named by the run's configuration."""
    return [config.family]


@dg.op(tags={"dagster/kind": "zenml"})
def gather_family(
    context: dg.OpExecutionContext, config: GatherConfig, fair: FairResource, families: list[str]
) -> backfills.Batch:
    """Read the published items of each family, then the versions and stages of all from ZenML."""
    # A backfill is started to bring items to a newer schema; it is not what removes them.
    keep_gone = BACKFILL_ID_TAG in context.run.tags or len(families) > 1
    batch = backfills.gather(fair.services, families, without=config.without, keep_gone=keep_gone)
    context.log.info(backfills.described(batch))
    return batch


@dg.op(tags={"dagster/kind": "artifacts"})
def publish_artifacts(context: dg.OpExecutionContext, fair: FairResource, batch: backfills.Batch) -> backfills.Batch:
    """Copy models, weights and configurations of promoted versions to the artifact store, once, with checksums."""
    published = backfills.publish_artifacts(fair.services, batch)
    files = [artifact for found in published.artifacts.values() for artifact in found.values()]
    size = sum(artifact.size for artifact in files)
    context.log.info(f"{len(files)} artifacts of {len(published.artifacts)} versions, {size:,} bytes")
    return published


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "stac"})
def apply_publication(
    context: dg.OpExecutionContext, fair: FairResource, batch: backfills.Batch
) -> Iterator[dg.AssetMaterialization | dg.Output[None]]:
    """Write each family as it should be into the catalog, in one atomic step each."""
    outcome = backfills.apply(fair.services, batch, context.log.info)
    for lines in backfills.told(outcome):
        context.log.info(lines)
    if not context.has_assets_def:
        outcome.require_whole()
        (changes,) = outcome.changes.values()
        yield dg.Output(None, metadata=changes_metadata(changes))
        return
    told = {
        key: _partition_metadata(fair, key, outcome.changes[slug])
        for key in context.partition_keys
        if (slug := split_version_id(key)[0]) in outcome.changes
    }
    yield from tell_partitions(dg.AssetExecutionContext(context), told, failed=bool(outcome.failures))
    outcome.require_whole()
    yield dg.Output(None)


def tell_partitions(
    context: dg.AssetExecutionContext, told: Mapping[str, Metadata], *, failed: bool
) -> Iterator[dg.AssetMaterialization]:
    """Give each partition of a run the metadata of its materialization.

    Args:
        failed: the run is about to fail for the sake of others. A failed step materializes nothing, so that what was
            done is recorded here.
    """
    asset = context.asset_key
    if failed:
        tags = {CODE_VERSION_TAG: context.assets_def.code_versions_by_key[asset] or ""}
        for key, metadata in told.items():
            yield dg.AssetMaterialization(asset, partition=key, metadata=metadata, tags=tags)
    elif len(told) == 1:
        for metadata in told.values():
            context.add_asset_metadata(metadata, asset)
    else:
        # `add_asset_metadata` reads the keys of all partitions anew for each of them, which takes longer than the rest.
        step = context.get_step_execution_context()
        for key, metadata in told.items():
            step._metadata_accumulator = step._metadata_accumulator.with_additional_asset_metadata(
                asset_key=asset, partition_key=key, metadata=metadata
            )


def _partition_metadata(fair: FairResource, key: str, changes: ChangeSet) -> Metadata:
    item = fair.services.catalog.get(ItemKey(items.LOCAL_MODELS, key))
    return changes_metadata(changes) | (item_metadata(fair.services, item) if item else {})


def finetune_partition(context: dg.OpExecutionContext | dg.AssetExecutionContext) -> str:
    """The version that a run was started for.

    Raises:
        RefusedError: its partition was deleted.
    """
    (partition,) = require_partitions(context, "training", "nothing was trained; start the finetune again")
    return partition


@dg.op(ins=_START, tags={"dagster/kind": "zenml"}, pool=keys.TRAINING_POOL)
def run_training(
    context: dg.OpExecutionContext, fair: FairResource, pipes: dg.PipesSubprocessClient
) -> dg.Output[None]:
    """Run the version's YAML by ZenML in a process of its own; its log streams into this step."""
    services, partition = fair.services, finetune_partition(context)
    owner = allocations.require_owner(services, partition, context.run.tags.get(keys.TAG_ZENML_VERSION))
    command, result_path = finetunes.training_command(services, partition)
    result_path.unlink(missing_ok=True)
    progress = {PROGRESS_VARIABLE: str(progress_file(services.settings, context.run_id))}
    environment = services.settings.environment() | zenml_environment(services.settings, verbosity="INFO") | progress
    # Loading what draws the losses takes a second, and until the child has ended there is nothing else to do.
    plotting = threading.Thread(target=load_plotting, daemon=True)
    plotting.start()
    try:
        _run_process(context, pipes, command, environment)
    except DagsterPipesExecutionError as error:
        result = finetunes.read_result(result_path)
        if not result:
            # Killed: ZenML learns of it from us. Only here does this process pay for importing ZenML.
            allocations.end_runs(services, partition, owner.uuid, "its process was killed")
        raise _cause(result, partition, error) from error
    result = finetunes.read_result(result_path)
    if result.get("error"):
        raise _cause(result, partition)
    plotting.join()
    return dg.Output(None, metadata=training_metadata(result, result_path.parent, owner.request))


def _run_process(
    context: dg.OpExecutionContext,
    pipes: dg.PipesSubprocessClient,
    command: Sequence[str],
    environment: Mapping[str, str],
) -> None:
    with warnings.catch_warnings():
        # Dagster warns of what its own client for pipes calls.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        pipes.run(context=context, command=list(command), env=dict(environment))


def _cause(result: dict[str, object], partition: str, ended: DagsterPipesExecutionError | None = None) -> PipelineError:
    """The step's own error; without a result all that is known is how the process ended."""
    if error := result.get("error"):
        step = f" in step {result['step']!r}" if result.get("step") else ""
        return PipelineError(f"training of {partition!r} failed{step}: {error}")
    return PipelineError(f"training of {partition!r} {_end(ended)}; {SEE_LOG}")


def _end(ended: DagsterPipesExecutionError | None) -> str:
    code = re.search(r"code (-?\d+)", str(ended))
    if code is None or int(code[1]) < 0:
        return "was killed before it could say why"
    return f"could not begin (exit code {code[1]})"


@dg.op(tags={"dagster/kind": "stac"})
def sync_folder(context: dg.OpExecutionContext, config: SyncConfig, fair: FairResource) -> None:
    """Register a folder of the branch's head, or retire its base model when the folder is gone."""
    try:
        synced = merges.sync(fair.services, config.folder)
    except RefusedError as error:
        context.instance.add_run_tags(context.run_id, {keys.TAG_REFUSED: error.subject})
        raise
    for change in synced.changes.changes:
        context.log.info(f"{change.action} {change.key}: {change.reason}")
    metadata = changes_metadata(synced.changes)
    tags = {}
    if synced.folder is not None:
        item = fair.services.catalog.get(ItemKey(items.BASE_MODELS, synced.slug))
        metadata |= item_metadata(fair.services, item) if item else {}
        tags = {CODE_VERSION_TAG: keys.code_version(folder_digest(synced.folder))}
    # An event of the asset, which the code location may not know yet: it shows there once that has reloaded.
    context.log_event(dg.AssetMaterialization(keys.base_model(synced.slug), metadata=metadata, tags=tags))


@dg.op(tags={"dagster/kind": "onnx"})
def predict_images(
    context: dg.OpExecutionContext,
    config: PredictionConfig,
    fair: FairResource,
    pipes: dg.PipesSubprocessClient,
) -> dg.Output[None]:
    """Run the model's ``predict`` over the images in a process of its own and write one GeoJSON file."""
    settings = fair.services.settings
    progress = {PROGRESS_VARIABLE: str(progress_file(settings, context.run_id))}
    prediction = predictions.from_config(config.model, config.config_path, config.output, config.result_path)
    try:
        _run_process(context, pipes, prediction.command, settings.environment() | progress)
    except DagsterPipesExecutionError as error:
        result = finetunes.read_result(prediction.result_path)
        cause = result.get("error") or f"it {_end(error)}; {SEE_LOG}"
        raise PipelineError(f"prediction with {config.model!r} failed: {cause}") from error
    return dg.Output(
        None,
        metadata={
            keys.TAG_MODEL: config.model,
            "output": dg.MetadataValue.path(config.output),
            "lineage": dg.MetadataValue.md(predictions.model_used(prediction)),
            **predictions.describe(prediction),
        },
    )

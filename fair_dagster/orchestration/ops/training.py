"""The ops that call ZenML and write STAC: the steps an operator sees, each with its own log, time and retries.

They take names and partition keys, call a flow, and put what it did into metadata. What they do stands in ``flows``.
"""

import re
import threading
import warnings
from collections.abc import Mapping, Sequence

import dagster as dg
from dagster._core.definitions.data_version import CODE_VERSION_TAG
from dagster._core.errors import DagsterPipesExecutionError  # Dagster raises it, and exports it nowhere.

from fair_dagster.domain import items
from fair_dagster.domain.errors import PipelineError, ProblemsError, ServiceError, UnexplainedError
from fair_dagster.domain.items.stac import ItemKey
from fair_dagster.flows import parcels, predictions, training_files
from fair_dagster.flows.base_models import merges
from fair_dagster.flows.finetunes import allocations, tracking, training
from fair_dagster.flows.run_files import progress_file, read_result
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.metadata import (
    changes_metadata,
    item_metadata,
    load_plotting,
    tracking_metadata,
    training_metadata,
)
from fair_dagster.orchestration.ops.publication import START, require_partitions
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.pipelines.contract import folder_digest
from fair_dagster.pipelines.metadata import PROGRESS_VARIABLE, RUN_VARIABLE
from fair_dagster.pipelines.zenml.environment import zenml_environment


class SyncConfig(dg.Config):
    """A folder under ``models/``, by its name."""

    folder: str


class PredictionConfig(dg.Config):
    """A prediction that ``Fair.predict`` has prepared.

    Its files are those of ``config_path`` and ``result_path``, or came as ``parcel`` from another machine, which waits
    for the ``output``.
    """

    model: str
    output: str
    config_path: str = ""
    result_path: str = ""
    parcel: str = ""


def finetune_partition(context: dg.OpExecutionContext | dg.AssetExecutionContext) -> str:
    """The version that a run was started for.

    Raises:
        RefusedError: its partition was deleted.
    """
    (partition,) = require_partitions(context, "training", "nothing was trained; start the finetune again")
    return partition


@dg.op(ins=START, tags={"dagster/kind": "zenml"}, pool=keys.TRAINING_POOL)
def run_training(
    context: dg.OpExecutionContext, fair: FairResource, pipes: dg.PipesSubprocessClient
) -> dg.Output[None]:
    """Run the version's YAML by ZenML in a process of its own; its log streams into this step."""
    services, partition = fair.services, finetune_partition(context)
    owner = allocations.require_owner(
        services.versions, services.settings, partition, context.run.tags.get(keys.TAG_ZENML_VERSION)
    )
    command, result_path = training.training_command(services, partition)
    result_path.unlink(missing_ok=True)
    told = {PROGRESS_VARIABLE: str(progress_file(services.settings, context.run_id)), RUN_VARIABLE: context.run_id}
    environment = services.settings.environment() | zenml_environment(services.settings, verbosity="INFO") | told
    # Loading what draws the losses takes a second, and until the child has ended there is nothing else to do.
    plotting = threading.Thread(target=load_plotting, daemon=True)
    plotting.start()
    with tracking.tracked(services, owner, context.run_id, result_path) as tracked:
        try:
            _run_process(context, pipes, command, {**environment, **tracked.environment})
        except DagsterPipesExecutionError as error:
            result = read_result(result_path)
            if not result:
                # Killed: ZenML learns of it from us. Only here does this process pay for importing ZenML.
                allocations.end_runs(services, partition, owner.uuid, "its process was killed")
            raise _cause(result, partition, error) from error
        result = read_result(result_path)
        if result.get("error"):
            raise _cause(result, partition)
    if services.settings.executor != "local" or "://" in services.settings.artifacts:
        # Another machine may publish it, or run it again.
        training_files.leave_training(services.artifacts, services.settings, partition, owner.uuid)
    plotting.join()
    metadata = training_metadata(result, result_path.parent, owner.request)
    found = result.get("tracking") or {}
    if problem := tracked.problem or found.get("problem"):
        # A tracker that is away fails nothing.
        context.log.warning(f"experiment tracking: not sent yet: {problem}")
    return dg.Output(None, metadata=metadata | tracking_metadata({"problem": tracked.problem, **found}))


@dg.op(
    tags={"dagster/kind": "mlflow"},
    retry_policy=dg.RetryPolicy(max_retries=4, delay=30, backoff=dg.Backoff.EXPONENTIAL),
)
def deliver_tracked(context: dg.OpExecutionContext, fair: FairResource) -> None:
    """Copy the tracked runs of trainings that have ended to the experiment tracker."""
    delivery = tracking.deliver_waiting(fair.services)
    for one in delivery.delivered:
        context.log.info(f"{one.training.name} is tracked: {one.url}")
        context.log_event(
            dg.AssetObservation(
                keys.finetuned_model(one.training.experiment),
                partition=one.training.name,
                metadata=tracking_metadata({"url": one.url, "run_id": one.run_id}),
            )
        )
    if delivery.problem:
        raise ServiceError(f"the experiment tracker: {delivery.problem}")


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
    return UnexplainedError(f"training of {partition!r} {_end(ended)}")


def _end(ended: DagsterPipesExecutionError | None) -> str:
    code = re.search(r"code (-?\d+)", str(ended))
    if code is None or int(code[1]) < 0:
        return "was killed before it could say why"
    return f"could not begin (exit code {code[1]})"


@dg.op(name=keys.SYNC_OP, tags={"dagster/kind": "stac"})
def sync_folder(context: dg.OpExecutionContext, config: SyncConfig, fair: FairResource) -> None:
    """Register a folder of the branch's head, or retire its base model when the folder is gone."""
    try:
        synced = merges.sync(fair.services, config.folder)
    except ProblemsError as error:
        context.instance.add_run_tags(context.run_id, {keys.TAG_REFUSED: error.subject})
        raise
    for change in synced.changes.changes:
        context.log.info(f"{change.action} {change.key}: {change.reason}")
    metadata = changes_metadata(synced.changes)
    tags = {}
    if synced.folder is not None:
        item = fair.services.catalog.get(ItemKey(items.BASE_MODELS, synced.slug))
        metadata |= item_metadata(fair.services.catalog, item) if item else {}
        tags = {CODE_VERSION_TAG: keys.code_version(folder_digest(synced.folder))}
    # An event of the asset, which the code location may not know yet: it shows there once that has reloaded.
    context.log_event(dg.AssetMaterialization(keys.base_model(synced.slug), metadata=metadata, tags=tags))


@dg.op(name=keys.PREDICT_OP, tags={"dagster/kind": "onnx"})
def predict_images(
    context: dg.OpExecutionContext,
    config: PredictionConfig,
    fair: FairResource,
    pipes: dg.PipesSubprocessClient,
) -> dg.Output[None]:
    """Run the model's ``predict`` over the images in a process of its own and write one GeoJSON file."""
    settings = fair.services.settings
    progress = {PROGRESS_VARIABLE: str(progress_file(settings, context.run_id))}
    if config.parcel:
        prediction = parcels.unpack(fair.services.artifacts, fair.services.settings, config.parcel, config.model)
    else:
        prediction = predictions.from_config(config.model, config.config_path, config.output, config.result_path)
    prediction = predictions.with_local_model(fair.services, prediction)
    try:
        _run_process(context, pipes, prediction.command, settings.environment() | progress)
    except DagsterPipesExecutionError as error:
        result = read_result(prediction.result_path)
        failed = f"prediction with {config.model!r} failed"
        if cause := result.get("error"):
            raise PipelineError(f"{failed}: {cause}") from error
        raise UnexplainedError(f"{failed}: it {_end(error)}") from error
    metadata = {
        keys.TAG_MODEL: config.model,
        "output": dg.MetadataValue.path(config.output),
        "lineage": dg.MetadataValue.md(predictions.model_used(prediction)),
        **predictions.describe(prediction),
    }
    if config.parcel:
        parcels.send_back(fair.services.artifacts, fair.services.settings, config.parcel, prediction)
    return dg.Output(None, metadata=metadata)

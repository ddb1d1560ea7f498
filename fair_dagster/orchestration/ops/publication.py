"""The ops that publish finetuned models: from partitions, or a name, to items in the catalog.

Three steps that an operator sees, or one where runs are executed on other machines: pods hand on no values but by way
of a store, and a worker that takes up a run where a lost one left it has none of its values. What they do stands in
``flows.publication.batches``.
"""

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg
from dagster._core.definitions.data_version import CODE_VERSION_TAG
from dagster._core.storage.tags import BACKFILL_ID_TAG

from fair_dagster.domain import items
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.stac import ItemKey
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.domain.slugs import split_version_id
from fair_dagster.flows.publication import batches
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.metadata import Metadata, changes_metadata, item_metadata
from fair_dagster.orchestration.resources import FairResource


class FamilyConfig(dg.Config):
    """Which finetuned model to recompute."""

    family: str


class GatherConfig(dg.Config):
    """``without``: the UUID of a version that is about to be deleted."""

    without: str = ""


# What an asset waits for carries no data: the catalog and ZenML do.
START = {"start": dg.In(dg.Nothing)}


@dg.op(ins=START, tags={"dagster/kind": "stac"})
def families_of_partitions(context: dg.OpExecutionContext) -> list[str]:
    """The finetuned models that the partitions are versions of, each once."""
    return _families(context)


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


@dg.op(name=keys.FAMILY_OP, tags={"dagster/kind": "stac"})
def configured_family(config: FamilyConfig) -> list[str]:
    """The finetuned model named by the run's configuration."""
    return [config.family]


@dg.op(name=keys.GATHER_OP, tags={"dagster/kind": "zenml"})
def gather_family(
    context: dg.OpExecutionContext, config: GatherConfig, fair: FairResource, families: list[str]
) -> batches.FamilyBatch:
    """Read the published items of each family, then the versions and stages of all from ZenML."""
    return _gathered(context, fair, families, config.without)


@dg.op(tags={"dagster/kind": "artifacts"})
def publish_artifacts(
    context: dg.OpExecutionContext, fair: FairResource, batch: batches.FamilyBatch
) -> batches.FamilyBatch:
    """Copy models, weights and configurations of promoted versions to the artifact store, once, with checksums."""
    return _with_artifacts(context, fair, batch)


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "stac"})
def apply_publication(
    context: dg.OpExecutionContext, fair: FairResource, batch: batches.FamilyBatch
) -> Iterator[dg.AssetMaterialization | dg.Output[None]]:
    """Write each family as it should be into the catalog, in one atomic step each."""
    yield from _applied(context, fair, batch)


@dg.op(ins=START, out=dg.Out(dg.Nothing), tags={"dagster/kind": "stac"})
def publish_families(
    context: dg.OpExecutionContext, fair: FairResource
) -> Iterator[dg.AssetMaterialization | dg.Output[None]]:
    """All of it in one step: read the families of the partitions, copy their artifacts, write their items."""
    batch = _gathered(context, fair, _families(context))
    yield from _applied(context, fair, _with_artifacts(context, fair, batch))


def _families(context: dg.OpExecutionContext) -> list[str]:
    chosen = require_partitions(context, "publication", "the stage sensor asks again where it must")
    return list(dict.fromkeys(split_version_id(key)[0] for key in chosen))


def _gathered(
    context: dg.OpExecutionContext, fair: FairResource, families: Sequence[str], without: str = ""
) -> batches.FamilyBatch:
    # A backfill is started to bring items to a newer schema; it is not what removes them.
    keep_gone = BACKFILL_ID_TAG in context.run.tags or len(families) > 1
    batch = batches.gather(fair.services, families, without=without, keep_gone=keep_gone)
    context.log.info(batches.described(batch))
    return batch


def _with_artifacts(
    context: dg.OpExecutionContext, fair: FairResource, batch: batches.FamilyBatch
) -> batches.FamilyBatch:
    published = batches.publish_artifacts(fair.services, batch)
    versions = [found for family in published.gathered.values() for found in family.artifacts.values()]
    files = [artifact for found in versions for artifact in found.values()]
    size = sum(artifact.size for artifact in files)
    context.log.info(f"{len(files)} artifacts of {len(versions)} versions, {size:,} bytes")
    return published


def _applied(
    context: dg.OpExecutionContext, fair: FairResource, batch: batches.FamilyBatch
) -> Iterator[dg.AssetMaterialization | dg.Output[None]]:
    outcome = batches.apply(fair.services, batch, context.log.info)
    for lines in batches.told(outcome):
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
    return changes_metadata(changes) | (item_metadata(fair.services.catalog, item) if item else {})

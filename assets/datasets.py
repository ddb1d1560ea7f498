"""The datasets asset: one partition a dataset, the active item of its slug."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from fair_dagster.domain import items
from fair_dagster.domain.items.stac import ItemKey
from fair_dagster.flows import datasets as flow
from fair_dagster.flows.publication import batches
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.metadata import changes_metadata, item_metadata
from fair_dagster.orchestration.ops.publication import tell_partitions
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.settings import Settings


class DatasetConfig(dg.Config):
    """``item``: the ``stac-item.json`` to register. Left out, the dataset is published again as it is."""

    item: str = ""


def dataset_asset(settings: Settings) -> dg.AssetsDefinition:
    """All datasets."""
    with warnings.catch_warnings():
        # Dagster says at every load that the policy is beta, to people who can do nothing about it.
        warnings.simplefilter("ignore", dg.BetaWarning)
        asset = dg.asset(
            key=keys.DATASETS,
            partitions_def=keys.DATASET_PARTITIONS,
            group_name=keys.DATASETS_GROUP,
            kinds={"stac", "geojson"},
            owners=[keys.OWNER],
            code_version=items.SCHEMA_VERSION,
            backfill_policy=dg.BackfillPolicy.multi_run(settings.partitions_of_run),
            description="Chips and labels that models are finetuned on, a partition a dataset.",
        )
        return asset(datasets)


def datasets(
    context: dg.AssetExecutionContext, config: DatasetConfig, fair: FairResource
) -> Iterator[dg.AssetMaterialization | dg.MaterializeResult[None]]:
    services, slugs = fair.services, list(context.partition_keys)
    if config.item:
        outcome = batches.BatchOutcome({slugs[0]: flow.register(services, Path(config.item), expected=slugs[0])}, {})
    else:
        outcome = batches.republish(services, items.DATASETS, slugs, context.log.info)
    told = {}
    for slug, changes in outcome.changes.items():
        # A dataset that was retired has no active item.
        item = services.catalog.get(ItemKey(items.DATASETS, slug))
        told[slug] = changes_metadata(changes) | (item_metadata(services.catalog, item) if item else {})
    yield from tell_partitions(context, told, failed=bool(outcome.failures))
    outcome.require_whole()
    yield dg.MaterializeResult()

"""The datasets asset: one partition a dataset, the active item of its slug."""

from pathlib import Path

import dagster as dg

from fair_dagster import keys
from fair_dagster.domain import items
from fair_dagster.flows import datasets as flow
from fair_dagster.flows import items as item_flow
from fair_dagster.flows import releases
from fair_dagster.metadata import changes_metadata, item_metadata
from fair_dagster.resources import FairResource


class DatasetConfig(dg.Config):
    """``item``: the ``stac-item.json`` to register. Left out, the dataset is published again as it is."""

    item: str = ""


@dg.asset(
    key=keys.DATASETS,
    partitions_def=keys.DATASET_PARTITIONS,
    group_name=keys.DATASETS_GROUP,
    kinds={"stac", "geojson"},
    owners=[keys.OWNER],
    code_version=items.SCHEMA_VERSION,
    description="Chips and labels that models are finetuned on, a partition a dataset.",
)
def datasets(
    context: dg.AssetExecutionContext, config: DatasetConfig, fair: FairResource
) -> dg.MaterializeResult[None]:
    services, slug = fair.services, context.partition_key
    if config.item:
        changes = flow.register(services, Path(config.item), expected=slug)
    else:
        changes = releases.republish(services, items.DATASETS, slug)
    item = item_flow.find(services, slug, (items.DATASETS,))
    return dg.MaterializeResult(metadata=changes_metadata(changes) | item_metadata(services, item))

"""The promoted versions in the catalog: a recompute of the family that the version belongs to."""

from typing import Any

import dagster as dg

from fair_dagster import keys
from fair_dagster.domain import items
from fair_dagster.ops import apply_publication, family_of_partition, gather_family, publish_artifacts


def local_model_asset(slug: str) -> dg.AssetsDefinition:
    """The promoted finetunes of one base model."""

    @dg.graph_asset(
        key=keys.local_model(slug),
        partitions_def=keys.finetunes(slug),
        ins={"finetuned_model": dg.AssetIn(keys.finetuned_model(slug), dagster_type=dg.Nothing)},
        group_name=keys.LOCAL_MODELS_GROUP,
        kinds={"stac", "zenml"},
        owners=[keys.OWNER],
        code_version=items.SCHEMA_VERSION,
        description=f"Finetunes of `{slug}` that were promoted to production, as STAC items.",
    )
    def local_model(finetuned_model: Any) -> Any:
        gathered = gather_family(family_of_partition(start=finetuned_model))
        return apply_publication(gathered, publish_artifacts(gathered))

    return local_model

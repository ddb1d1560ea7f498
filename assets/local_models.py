"""The promoted versions in the catalog: a recompute of the families that the partitions belong to."""

from typing import Any

import dagster as dg

from fair_dagster.domain import items
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.ops.publication import (
    apply_publication,
    families_of_partitions,
    gather_family,
    publish_artifacts,
    publish_families,
)
from fair_dagster.settings import Settings


def local_model_asset(slug: str, settings: Settings) -> dg.AssetsDefinition:
    """The promoted finetunes of one base model."""

    @dg.graph_asset(
        key=keys.local_model(slug),
        partitions_def=keys.finetunes(slug),
        ins={"finetuned_model": dg.AssetIn(keys.finetuned_model(slug), dagster_type=dg.Nothing)},
        group_name=keys.LOCAL_MODELS_GROUP,
        kinds={"stac", "zenml"},
        owners=[keys.OWNER],
        code_version=items.SCHEMA_VERSION,
        backfill_policy=dg.BackfillPolicy.multi_run(settings.partitions_of_run),
        description=f"Finetunes of `{slug}` that were promoted to production, as STAC items.",
    )
    def local_model(finetuned_model: Any) -> Any:
        if settings.executor != "local":
            return publish_families(start=finetuned_model)
        return apply_publication(publish_artifacts(gather_family(families_of_partitions(start=finetuned_model))))

    return local_model

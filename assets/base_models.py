"""One asset per base model folder: its active item in the catalog."""

from pathlib import Path

import dagster as dg

from fair_dagster.domain import items
from fair_dagster.domain.items.stac import ItemKey
from fair_dagster.flows.base_models import registration
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.metadata import changes_metadata, item_metadata
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.pipelines.contract import folder_digest


def base_model_asset(folder: Path) -> dg.AssetsDefinition:
    """The asset of one folder. A broken folder has one too; materializing it says what is wrong."""
    slug = registration.slug_of_folder(folder)

    @dg.asset(
        key=keys.base_model(slug),
        group_name=keys.BASE_MODELS_GROUP,
        kinds={"stac", "python"},
        owners=[keys.OWNER],
        code_version=keys.code_version(folder_digest(folder)),
        description=f"The base model `{slug}`, contributed as `models/{folder.name}/`.",
    )
    def base_model(context: dg.AssetExecutionContext, fair: FairResource) -> dg.MaterializeResult[None]:
        # By name: where base models follow a branch, another checkout may have become current since loading.
        found = fair.services.settings.models / folder.name
        changes = registration.register(fair.services, found, warn=context.log.warning)
        for change in changes.changes:
            context.log.info(f"{change.action} {change.key}: {change.reason}")
        item = fair.services.catalog.get(ItemKey(items.BASE_MODELS, slug))
        metadata = changes_metadata(changes) | (item_metadata(fair.services.catalog, item) if item else {})
        return dg.MaterializeResult(metadata=metadata)

    return base_model

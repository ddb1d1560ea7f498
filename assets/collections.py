"""The three collection documents: extent, summaries and counts over their items."""

from collections.abc import Sequence

import dagster as dg

from fair_dagster import keys
from fair_dagster.domain import items
from fair_dagster.resources import FairResource


def collection_assets(slugs: Sequence[str]) -> list[dg.AssetsDefinition]:
    """The collection assets of a code location with the base models ``slugs``."""
    every = dg.AllPartitionMapping()
    deps = {
        items.BASE_MODELS: [dg.AssetDep(keys.base_model(slug)) for slug in slugs],
        items.DATASETS: [dg.AssetDep(keys.DATASETS, partition_mapping=every)],
        items.LOCAL_MODELS: [dg.AssetDep(keys.local_model(slug), partition_mapping=every) for slug in slugs],
    }
    return [_collection_asset(collection, deps[collection]) for collection in items.COLLECTIONS]


def _collection_asset(collection_id: str, deps: Sequence[dg.AssetDep]) -> dg.AssetsDefinition:
    @dg.asset(
        key=keys.collection(collection_id),
        deps=deps,
        group_name=keys.COLLECTIONS_GROUP,
        kinds={"stac"},
        owners=[keys.OWNER],
        code_version=items.SCHEMA_VERSION,
        description=f"The STAC collection `{collection_id}`, recomputed from all of its items.",
    )
    def collection(fair: FairResource) -> dg.MaterializeResult[None]:
        document = fair.services.catalog.refresh(collection_id)
        return dg.MaterializeResult(
            metadata={
                "items": len(fair.services.catalog.ids(collection_id)),
                "extent": dg.MetadataValue.json(document["extent"]),
                "summaries": dg.MetadataValue.json(document.get("summaries", {})),
            }
        )

    return collection

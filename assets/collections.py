"""The three collection documents: extent, summaries and counts over their items; repaired first where that is set.

The drift report comes first: a document that was just written anew shows nothing of what was wrong with it.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from assets.checks import drift_check, drift_result
from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items
from fair_dagster.domain.publication.findings import Finding
from fair_dagster.flows.reconciliation.unused import named_nowhere_else
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.reconciliation import drift, reconcile
from fair_dagster.orchestration.resources import FairResource


class CollectionConfig(dg.Config):
    """``repair``: set right what differs from what it should be, and log each change with its reason."""

    repair: bool = False


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
        check_specs=[drift_check(collection_id)],
        group_name=keys.COLLECTIONS_GROUP,
        kinds={"stac"},
        owners=[keys.OWNER],
        code_version=items.SCHEMA_VERSION,
        description=f"The STAC collection `{collection_id}`, recomputed from all of its items.",
    )
    def collection(
        context: dg.AssetExecutionContext, config: CollectionConfig, fair: FairResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster looks for the bare class
        # What its items are computed from is repaired before them.
        with_parents = items.COLLECTIONS if config.repair and collection_id == items.LOCAL_MODELS else (collection_id,)
        findings = drift(fair.services, context.instance, collections=with_parents)
        repaired = _repaired(context, fair, findings) if config.repair else []
        if repaired:
            findings = drift(fair.services, context.instance, collections=[collection_id])
        findings = [finding for finding in findings if finding.collection == collection_id]
        document = _document(context, fair.services.catalog, collection_id, findings)
        metadata = {
            "items": len(fair.services.catalog.ids(collection_id)),
            "extent": dg.MetadataValue.json(document["extent"]),
            "summaries": dg.MetadataValue.json(document.get("summaries", {})),
        }
        if repaired:
            metadata["repaired"] = dg.MetadataValue.table(repaired)
        return dg.MaterializeResult(metadata=metadata, check_results=[drift_result(findings)])

    return collection


def _document(
    context: dg.AssetExecutionContext, catalog: CatalogStore, collection_id: str, findings: Sequence[Finding]
) -> dict[str, Any]:
    """The document, written anew unless it alone names what is lost."""
    if reason := named_nowhere_else(catalog, collection_id, findings):
        context.log.warning(reason)
        return catalog.collection(collection_id)
    return catalog.refresh(collection_id)


def _repaired(
    context: dg.AssetExecutionContext, fair: FairResource, findings: Sequence[Finding]
) -> list[dg.TableRecord]:
    rows = []
    for done in reconcile(fair.services, context.instance, findings):
        (context.log.error if done.failed else context.log.info)(str(done))
        rows.append(dg.TableRecord({"item": done.item, "action": done.action, "reason": done.reason}))
    return rows

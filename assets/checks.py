"""Checks on the collections: every item is valid, and every link between items leads somewhere."""

import dagster as dg

from fair_dagster import keys
from fair_dagster.domain import items
from fair_dagster.flows import catalog
from fair_dagster.resources import FairResource

_SHOWN = 50


def collection_checks() -> list[dg.AssetChecksDefinition]:
    return [_valid_check(collection_id) for collection_id in items.COLLECTIONS]


def _valid_check(collection_id: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=keys.collection(collection_id),
        name="valid",
        description="Every item follows its schemas, and no link between items is broken.",
    )
    def valid(fair: FairResource) -> dg.AssetCheckResult:
        findings = catalog.validate_collection(fair.services, collection_id)
        rows = [
            dg.TableRecord({"item": finding.item, "problem": problem})
            for finding in findings
            for problem in finding.problems
        ]
        unchecked = sorted({schema for finding in findings for schema in finding.not_checked})
        metadata: dict[str, object] = {
            "items": len(findings),
            "not_checked": dg.MetadataValue.json(unchecked),
        }
        if rows:
            metadata["problems"] = dg.MetadataValue.table(rows[:_SHOWN])
        return dg.AssetCheckResult(
            passed=not rows,
            description=f"{len(rows)} problems in {len(findings)} items",
            metadata=metadata,
        )

    return valid

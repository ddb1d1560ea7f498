"""Checks on the collections: every item is valid, and all is as it should be.

``drift`` is a check of the collection's own step: that step writes the document anew, so it has to look before.
"""

from collections.abc import Sequence

import dagster as dg

from fair_dagster.domain import items
from fair_dagster.domain.publication.findings import Finding
from fair_dagster.flows import catalog
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.resources import FairResource

_DRIFT = "drift"
_SHOWN = 50


def collection_checks() -> list[dg.AssetChecksDefinition]:
    return [_valid_check(collection_id) for collection_id in items.COLLECTIONS]


def _valid_check(collection_id: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=keys.collection(collection_id),
        name="valid",
        description="Every item follows its schemas and the rules of its kind.",
    )
    def valid(fair: FairResource) -> dg.AssetCheckResult:
        findings = catalog.validate_collection(
            fair.services.catalog, fair.services.validator, collection_id, links=False
        )
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


def drift_check(collection_id: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        _DRIFT,
        asset=keys.collection(collection_id),
        description="Items, links, documents, artifacts and partitions are what ZenML and the releases say they should "
        "be. What is told of a document is how it was before the run wrote it anew.",
    )


def drift_result(findings: Sequence[Finding]) -> dg.AssetCheckResult:
    """The report as a check: red for what consumers notice, yellow for the rest."""
    counts: dict[str, int] = {}
    for finding in findings:
        counts[finding.kind] = counts.get(finding.kind, 0) + 1
    metadata: dict[str, object] = {"findings": len(findings), "kinds": dg.MetadataValue.json(counts)}
    if findings:
        first = sorted(findings, key=lambda finding: not finding.is_error)[:_SHOWN]
        rows = [
            dg.TableRecord({name: finding.row()[name] for name in ("item", "kind", "detail", "repair")})
            for finding in first
        ]
        metadata["drift"] = dg.MetadataValue.table(rows)
    is_error = any(finding.is_error for finding in findings)
    return dg.AssetCheckResult(
        check_name=_DRIFT,
        passed=not findings,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        description=", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "no drift",
        metadata=metadata,
    )

"""The check that finds finetuned models whose base model or dataset has a newer version. The rule is the domain's."""

import dagster as dg

from fair_dagster.domain import items
from fair_dagster.flows import lineage
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.resources import FairResource

_SHOWN = 200


@dg.asset_check(
    asset=keys.collection(items.LOCAL_MODELS),
    name="stale",
    description="No model in use was made from a base model or dataset of which a newer version is active.",
)
def stale(fair: FairResource) -> dg.AssetCheckResult:
    """A warning: the models work as they did, and only people know whether training again is worth it."""
    found = lineage.stale(fair.services.catalog)
    rows = [
        dg.TableRecord(
            {
                "model": model.model,
                "made from": model.made_from,
                "newest": f"{model.newest.slug} v{model.newest.version}",
                "since": model.newest.since,
            }
        )
        for model in found
    ]
    models = len({model.model for model in found})
    return dg.AssetCheckResult(
        passed=not rows,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{models} models could be trained again on something newer" if rows else "none is stale",
        metadata={"stale": dg.MetadataValue.table(rows[:_SHOWN]), "models": models} if rows else {"models": 0},
    )


def staleness_checks() -> list[dg.AssetChecksDefinition]:
    return [stale]

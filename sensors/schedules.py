"""The schedule of the reconciliation: the collections are recomputed and checked, and repaired where that is set."""

import dagster as dg

from fair_dagster.domain import items
from fair_dagster.orchestration import keys
from fair_dagster.settings import Settings


def schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    return [
        dg.ScheduleDefinition(
            name=keys.RECONCILIATION_SCHEDULE,
            job_name=keys.COLLECTIONS_JOB,
            cron_schedule=settings.reconcile_cron,
            execution_timezone="UTC",
            run_config=reconciliation_config(repair=settings.reconcile_repair),
            tags={keys.TAG_CAUSE: "schedule"},
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description="Compares the whole catalog with what it should be. The checks on the collections tell.",
        )
    ]


def reconciliation_config(*, repair: bool) -> dict[str, object]:
    """The run configuration of the job that recomputes the collections."""
    ops = {"__".join(keys.collection(name).path): {"config": {"repair": repair}} for name in items.COLLECTIONS}
    return {"ops": ops}

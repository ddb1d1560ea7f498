"""The schedule of the reconciliation: the collections are recomputed and checked, and repaired where that is set."""

import dagster as dg

from fair_dagster.orchestration import keys, run_config
from fair_dagster.settings import Settings


def schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    return [
        dg.ScheduleDefinition(
            name=keys.RECONCILIATION_SCHEDULE,
            job_name=keys.COLLECTIONS_JOB,
            cron_schedule=settings.reconcile_cron,
            execution_timezone="UTC",
            run_config=run_config.configure_collections(repair=settings.reconcile_repair),
            tags={keys.TAG_CAUSE: "schedule"},
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description="Compares the whole catalog with what it should be. The checks on the collections tell.",
        )
    ]

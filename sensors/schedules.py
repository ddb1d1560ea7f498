"""The schedule of the reconciliation."""

import dagster as dg

from fair_dagster.settings import Settings


def schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    return []

"""Tells a webhook about failed runs, with their cause."""

import dagster as dg

from fair_dagster.settings import Settings


def failure_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    return []

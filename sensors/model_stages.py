"""Watches the stages of ZenML's model versions: one run per family whose catalog items have to follow."""

from collections.abc import Sequence

import dagster as dg

from fair_dagster.settings import Settings


def stage_sensors(settings: Settings, slugs: Sequence[str]) -> list[dg.SensorDefinition]:
    return []

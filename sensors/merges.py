"""Watches the branch that holds ``models/``: one run per changed base model folder."""

from collections.abc import Sequence

import dagster as dg

from fair_dagster.settings import Settings


def merge_sensors(settings: Settings, slugs: Sequence[str]) -> list[dg.SensorDefinition]:
    return []

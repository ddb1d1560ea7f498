"""How often sensors tick."""

from pathlib import Path

import pytest

from fair_dagster.definitions import build_defs
from fair_dagster.settings import Settings

DAEMON_LOOKS_EVERY = 5
"""Seconds; ``MIN_INTERVAL_LOOP_TIME`` of Dagster's sensor daemon."""


@pytest.mark.parametrize("interval", [10, 30, 60])
def test_no_sensor_misses_its_turn_by_milliseconds(tmp_path: Path, interval: int) -> None:
    settings = Settings(home=tmp_path / "home", models=tmp_path / "models", sensor_interval=interval)
    sensors = list(build_defs(settings=settings).sensors or ())
    assert sensors
    for sensor in sensors:
        declared = sensor.minimum_interval_seconds
        assert interval - DAEMON_LOOKS_EVERY < declared < interval, sensor.name

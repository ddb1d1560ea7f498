"""Sensors and schedules, a module per cause. Thin: what they decide stands in ``fair_dagster``."""

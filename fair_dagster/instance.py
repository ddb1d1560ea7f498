"""The Dagster instance under ``FAIR_HOME``: its configuration file, opening it, its partitions."""

import os
from collections.abc import Sequence

import dagster as dg

from fair_dagster.settings import Settings

_CONFIG = """\
# Dagster's own settings for one machine. Written once; yours to change.
telemetry:
  enabled: false
# Dagster's invitation to sign up for mail.
nux:
  enabled: false
"""


def prepare_instance(settings: Settings) -> None:
    """Make the instance's folder and configuration when they are not there."""
    settings.dagster_path.mkdir(parents=True, exist_ok=True)
    config = settings.dagster_path / "dagster.yaml"
    if not config.exists():
        config.write_text(_CONFIG)


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance that all runs are recorded in; a context manager. ``DAGSTER_HOME``, when set, wins."""
    if configured := os.environ.get("DAGSTER_HOME"):
        return dg.DagsterInstance.from_config(configured)
    prepare_instance(settings)
    return dg.DagsterInstance.from_config(str(settings.dagster_path))


def add_partition(settings: Settings, partitions: str, keys: Sequence[str]) -> None:
    with open_instance(settings) as instance:
        instance.add_dynamic_partitions(partitions, list(keys))


def delete_partition(settings: Settings, partitions: str, key: str) -> None:
    with open_instance(settings) as instance:
        instance.delete_dynamic_partition(partitions, key)

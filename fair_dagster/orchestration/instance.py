"""The Dagster instance under ``FAIR_HOME``: its configuration file, opening it, its partitions."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from fair_dagster.domain.errors import ServiceError
from fair_dagster.orchestration.instance_config import ONE_MACHINE
from fair_dagster.settings import Settings


def prepare_instance(settings: Settings) -> None:
    """Make the instance's folder and configuration when they are not there.

    Raises:
        ServiceError: the disk refuses.
    """
    try:
        settings.dagster_path.mkdir(parents=True, exist_ok=True)
        config = settings.dagster_path / "dagster.yaml"
        if not config.exists():
            config.write_text(ONE_MACHINE)
    except OSError as error:
        raise ServiceError(
            f"Dagster's folder {settings.dagster_path} cannot be made: {error.strerror or error}"
        ) from error


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance that all runs are recorded in. ``DAGSTER_HOME``, when set, wins.

    Raises:
        ServiceError: its databases cannot be used, when opened or later on.
    """
    configured = os.environ.get("DAGSTER_HOME")
    if not configured:
        prepare_instance(settings)
    folder = Path(configured) if configured else settings.dagster_path
    with _database_errors(folder), dg.DagsterInstance.from_config(str(folder)) as instance:
        yield instance


@contextmanager
def _database_errors(folder: Path) -> Iterator[None]:
    """Dagster lets the errors of its databases through, sometimes wrapped in its own."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, SQLAlchemyError | sqlite3.Error):
            cause = cause.__cause__
        if cause is None:
            raise
        reason = getattr(cause, "orig", None) or cause
        raise ServiceError(
            f"Dagster's database in {folder} cannot be used ({reason}): check its space and permissions"
        ) from error


def add_partition(settings: Settings, partitions: str, key: str) -> bool:
    """Add a partition key; False when it was there."""
    with open_instance(settings) as instance:
        if instance.has_dynamic_partition(partitions, key):
            return False
        instance.add_dynamic_partitions(partitions, [key])
        return True


def delete_partition(settings: Settings, partitions: str, key: str) -> None:
    with open_instance(settings) as instance:
        instance.delete_dynamic_partition(partitions, key)

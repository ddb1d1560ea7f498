"""What runs are configured with: written here for every job that takes something, and read back by ``config_of`` only.

Dagster stores a configuration with its run, so its form stays as it is. What the fields of an op mean stands at its
``dg.Config``; names of jobs and ops stand in ``keys``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fair_dagster.domain import items
from fair_dagster.orchestration import keys

RunConfig = dict[str, Any]

QUIET: Mapping[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Nothing on the console: who started the run says how it ended. To be merged into a configuration of ops."""


def configure_dataset(item_path: Path) -> RunConfig:
    """For ``DATASETS_JOB``: the ``stac-item.json`` to register."""
    return _configure({keys.DATASETS_OP: {"item": str(item_path.resolve())}})


def configure_sync(folder: str) -> RunConfig:
    """For ``SYNC_JOB``: a folder under ``models/``."""
    return _configure({keys.SYNC_OP: {"folder": folder}})


def configure_pushed(reference: str) -> RunConfig:
    """For ``PUSHED_JOB``: an artifact by its digest."""
    return _configure({keys.PUSHED_OP: {"reference": reference}})


def configure_recompute(family: str, *, without: str = "") -> RunConfig:
    """For ``RECOMPUTE_JOB``.

    Args:
        family: name of a finetuned model.
        without: UUID of a version that is about to be deleted.
    """
    return _configure({keys.FAMILY_OP: {"family": family}, keys.GATHER_OP: {"without": without} if without else {}})


def configure_prediction(prediction: Mapping[str, str]) -> RunConfig:
    """For ``PREDICT_JOB``: the fields of its ``PredictionConfig``."""
    return _configure({keys.PREDICT_OP: dict(prediction)})


def configure_collections(*, repair: bool) -> RunConfig:
    """For ``COLLECTIONS_JOB``: whether what differs is repaired."""
    names = (keys.collection(name).to_python_identifier() for name in items.COLLECTIONS)
    return _configure({name: {"repair": repair} for name in names})


def config_of(run_config: Mapping[str, Any], op: str) -> Mapping[str, Any]:
    """What ``run_config`` sets of ``op``; empty where it sets nothing."""
    found = run_config.get("ops", {}).get(op, {}).get("config", {})
    return dict(found)


def _configure(ops: Mapping[str, Mapping[str, Any]]) -> RunConfig:
    return {"ops": {name: {"config": dict(config)} for name, config in ops.items() if config}}

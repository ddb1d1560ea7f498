"""Which executor the definitions get, by ``FAIR_EXECUTOR``."""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from fair_dagster.domain.errors import RefusedError
from fair_dagster.orchestration.workers.broker import require_broker
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from types import ModuleType

_POD_TAG = "dagster-k8s/config"
_PACKAGES = {"celery": "dagster_celery", "kubernetes": "dagster_k8s"}


def executor_of(settings: Settings) -> dg.ExecutorDefinition:
    """The executor of every job that does not say otherwise.

    Raises:
        RefusedError: what the setting asks for is not installed, or the broker is not named.
    """
    if settings.executor != "local":
        package = _imported(_PACKAGES[settings.executor], settings.executor)
        if settings.executor == "kubernetes":
            executor: dg.ExecutorDefinition = package.k8s_job_executor
            return executor
        require_broker(settings)
    # One run is one process, on a worker as well: training has a child process of its own, and the rest takes
    # milliseconds.
    return dg.in_process_executor


def training_tags(settings: Settings) -> Mapping[str, Any]:
    """Tags of the step that trains: on Kubernetes its pod asks for more than the others."""
    if settings.executor != "kubernetes":
        return {}
    return {_POD_TAG: {"container_config": {"resources": settings.training_resources}}}


def _imported(module: str, executor: str) -> "ModuleType":
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        reason = f"the package {error.name!r} is not installed; install fair-dagster with its extra `team`"
        raise RefusedError(f"FAIR_EXECUTOR={executor}", [reason]) from error

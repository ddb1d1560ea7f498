"""Which executor the definitions get, by ``FAIR_EXECUTOR``.

See docs/decisions/0029.
"""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from fair_dagster.domain.errors import RefusedError
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from types import ModuleType

_POD_TAG = "dagster-k8s/config"
_MODULES = {
    "celery": ("fair_dagster.orchestration.workers.executor", "celery_steps"),
    "kubernetes": ("dagster_k8s", "k8s_job_executor"),
}


def executor_of(settings: Settings) -> dg.ExecutorDefinition:
    """The executor of every job that does not say otherwise.

    Raises:
        RefusedError: what the setting asks for is not installed, or the broker is not named.
    """
    if settings.executor == "local":
        # One run is one process: training has a child process of its own, and the rest takes milliseconds.
        return dg.in_process_executor
    module, name = _MODULES[settings.executor]
    executor: dg.ExecutorDefinition = getattr(_imported(module, settings.executor), name)
    if settings.executor == "celery":
        from fair_dagster.orchestration.workers.broker import require_broker

        require_broker(settings)
    return executor


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

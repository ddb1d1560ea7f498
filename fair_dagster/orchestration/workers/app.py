"""The Celery application of the workers: what ``celery -A fair_dagster.orchestration.workers.app`` runs.

It is that of the instance's run launcher, so that both agree on queues and settings, and so that no password is written
into a file, as ``dagster-celery worker start`` does. It is made when it is asked for.
"""

from functools import cache
from typing import TYPE_CHECKING

from fair_dagster.domain.errors import RefusedError
from fair_dagster.orchestration.instance import open_instance
from fair_dagster.orchestration.workers.broker import require_broker
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from celery import Celery

    from fair_dagster.orchestration.workers.launcher import WorkerRunLauncher

_LINES = "run_launcher: {module: fair_dagster.orchestration.workers.launcher, class: WorkerRunLauncher}"


def __getattr__(name: str) -> "Celery":
    # Celery looks for an attribute; a module that reads the environment when imported cannot be imported in peace.
    if name == "app":
        return worker_app()
    raise AttributeError(name)


@cache
def worker_app() -> "Celery":
    """The application with the task that executes runs.

    Raises:
        RefusedError: the instance hands its runs to nobody.
    """
    from dagster_celery.tasks import create_execute_job_task

    from fair_dagster.orchestration.workers.task import RunTask

    app = require_launcher(Settings()).celery
    create_execute_job_task(app, base=RunTask)  # type: ignore[arg-type]  # It says that options are mappings.
    return app


def require_launcher(settings: Settings) -> "WorkerRunLauncher":
    """The launcher of the instance.

    Raises:
        RefusedError: ``dagster.yaml`` names another, or no broker is set.
    """
    from fair_dagster.orchestration.workers.launcher import WorkerRunLauncher

    require_broker(settings)
    with open_instance(settings) as instance:
        launcher = instance.run_launcher
        if isinstance(launcher, WorkerRunLauncher):
            return launcher
        reason = f"{instance.root_directory}/dagster.yaml does not hand runs to workers; add to it there, and wherever"
    raise RefusedError("FAIR_EXECUTOR=celery", [f"{reason} else Dagster runs: {_LINES}"])

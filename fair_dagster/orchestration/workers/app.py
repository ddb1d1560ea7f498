"""The Celery application of the workers: what ``celery -A fair_dagster.orchestration.workers.app`` runs.

``app`` is made when it is asked for, from the settings of that moment. Which step a worker executes is told by
messages; what stands in Dagster's database decides whether it still has to.
"""

from functools import cache
from typing import TYPE_CHECKING

from fair_dagster.orchestration.workers.broker import LEASE_SECONDS, require_broker
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from celery import Celery

DEFAULT_QUEUE = "dagster"
TRAINING_QUEUE = "training"
QUEUES = (DEFAULT_QUEUE, TRAINING_QUEUE)
HIGHEST_PRIORITY = 9
_REDELIVERED_AFTER = 15 * 60


def __getattr__(name: str) -> "Celery":
    # Celery looks for an attribute; a module that reads the environment when imported cannot be imported in peace.
    if name == "app":
        return worker_app()
    raise AttributeError(name)


@cache
def worker_app() -> "Celery":
    """The application with the task that executes steps."""
    from dagster_celery.tasks import create_task

    from fair_dagster.orchestration.workers.tasks import StepTask

    app = celery_app(require_broker(Settings()))
    create_task(app, base=StepTask)
    return app


def celery_app(url: str) -> "Celery":
    """An application that speaks to the broker at ``url``, as executors and workers both need it."""
    from celery import Celery

    app = Celery("fair-dagster", broker=url, set_as_current=False)
    app.conf.update(
        task_default_queue=DEFAULT_QUEUE,
        # A message stays with the broker until its step has ended, so that none is lost with a worker that has only
        # just received it. It comes again when that takes long; the step's note then says that it is worked on.
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        broker_transport_options={
            "visibility_timeout": _REDELIVERED_AFTER,
            "unacked_mutex_expire": LEASE_SECONDS,
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            # Of a single attempt to send; the executor tries again for minutes.
            "max_retries": 1,
            "interval_start": 0,
            "interval_max": 0.2,
        },
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A step that goes on is worth more than the connection that was lost meanwhile.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # Results are in Dagster's event log.
        task_ignore_result=True,
        # Dagster captures what a step prints.
        worker_redirect_stdouts=False,
        worker_hijack_root_logger=False,
    )
    return app

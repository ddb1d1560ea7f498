"""``WorkerRunLauncher``: what ``dagster.yaml`` names so that whole runs are executed by the Celery workers.

Dagster-celery's launcher with what it lacks: a worker that died is noticed, a broker that is away is waited for, and a
run that is stopped ends with what it has started. The broker's address comes from ``FAIR_BROKER_URL``, in every process
that launches, watches or stops runs: the daemon, the web server, the code location and the command line.

See docs/decisions/0046.
"""

import logging
import time
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG, DAGSTER_CELERY_RUN_PRIORITY_TAG, DAGSTER_CELERY_TASK_ID_TAG
from typing_extensions import override

from fair_dagster.domain.errors import ServiceError
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.process_tags import machine_of
from fair_dagster.orchestration.workers.broker import (
    DEFAULT_QUEUE,
    address,
    broker_errors,
    celery_settings,
    is_refusal,
    require_broker,
)
from fair_dagster.orchestration.workers.presence import Presence
from fair_dagster.orchestration.workers.private import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from fair_dagster.settings import Settings

_LOG = logging.getLogger(__name__)
OUTAGE_SECONDS = 600.0
"""How long launching a run waits for a broker that does not answer."""
_ANSWER_SECONDS = 2.0
_LOOK_SECONDS = 4.0
"""One look serves all runs of a round of Dagster's run monitoring, which comes every 5 s."""
_HIGHEST_PRIORITY, _USUAL_PRIORITY = 9, 5


class WorkerRunLauncher(CeleryRunLauncher):
    """Hands each run to a worker of its queue, and notices when the worker is gone.

    Args:
        config_source: settings of Celery that win over ``broker.celery_settings``.

    Raises:
        RefusedError: ``FAIR_BROKER_URL`` names no Redis.
    """

    def __init__(self, config_source: Mapping[str, Any] | None = None, inst_data: Any = None) -> None:
        self._url = require_broker(Settings())
        self._presence = Presence()
        self._looked_at = float("-inf")
        super().__init__(
            default_queue=DEFAULT_QUEUE,
            broker=self._url,
            config_source=celery_settings(config_source or {}),
            inst_data=inst_data,
        )

    @classmethod
    @override
    def config_type(cls) -> Mapping[str, Any]:
        # No field for the broker: what stands in dagster.yaml is shown in the UI.
        return {"config_source": dg.Field(dg.Permissive(), is_required=False)}

    @override
    def launch_run(self, context: LaunchRunContext) -> None:
        """Send the run to its queue.

        Raises:
            ServiceError: the broker refuses the password, or has not answered for ten minutes.
        """
        run = context.dagster_run
        # For the message only: the run keeps the tags that it has.
        tags = {DAGSTER_CELERY_QUEUE_TAG: queue_of(run), DAGSTER_CELERY_RUN_PRIORITY_TAG: str(_urgency(run))}
        self._require_answer()
        super().launch_run(context._replace(dagster_run=run.with_tags({**run.tags, **tags})))

    @override
    def terminate(self, run_id: str) -> bool:
        """Ask for the end of a run; the worker that has it sees that within seconds, also while Redis is away."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        waits = run.status == dg.DagsterRunStatus.STARTING and machine_of(run) is None
        self._instance.report_run_canceling(run)
        if waits:
            # Its message is still in Redis; a worker that finds it there leaves the run alone.
            self._instance.report_run_canceled(run)
        return True

    @property
    @override
    def supports_resume_run(self) -> bool:
        # Dagster-celery's sends arguments that its own task does not take. A lost run is launched anew (`run_retries`).
        return False

    @override
    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        task = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task is None or not self.is_missed(task):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        where = machine_of(run) or "its worker"
        return CheckRunHealthResult(WorkerStatus.FAILED, f"the worker process on {where} that executed it is gone")

    @override
    def get_run_worker_debug_info(self, run: dg.DagsterRun, include_container_logs: bool | None = True) -> str | None:
        if machine_of(run) is not None:
            return None
        return f"It was sent to the queue {queue_of(run)!r}; `fair-dagster worker list` shows who takes from it."

    def is_missed(self, task: str) -> bool:
        """Whether no worker has had a task at the last looks, this one included."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._look()
        return self._presence.is_lost(task, now)

    def waiting(self, queue: str) -> int:
        """How many runs wait in a queue of Redis.

        Raises:
            ServiceError: the broker does not answer.
        """
        from kombu.exceptions import ChannelError

        with broker_errors(self._url), self.celery.connection_for_read() as connection:
            try:
                return int(connection.default_channel.queue_declare(queue, passive=True).message_count)
            except ChannelError:
                return 0  # Redis keeps no empty list.

    def _look(self) -> None:
        now = time.monotonic()
        self._looked_at = now
        try:
            with broker_errors(self._url):
                answers = self.celery.control.inspect(timeout=_ANSWER_SECONDS).active() or {}
        except ServiceError as error:
            _LOG.warning("whether workers are alive is not known: %s", error)
            self._presence.away(now)
        else:
            self._presence.look(frozenset(task["id"] for tasks in answers.values() for task in tasks), now)

    def _require_answer(self) -> None:
        """Wait until the broker answers."""

        def wait(error: Exception, interval: float) -> None:
            if is_refusal(error):
                raise error
            _LOG.warning("the broker %s does not answer (%s); asked again in %g s", where, error, interval)

        where = address(self._url)
        with broker_errors(self._url), self.celery.connection_for_write() as connection:
            connection.ensure_connection(
                wait, interval_start=1, interval_step=1, interval_max=5, timeout=OUTAGE_SECONDS
            )


def queue_of(run: dg.DagsterRun) -> str:
    """The queue that a run waits in: the one that its tag names, else that of what it does."""
    usual = keys.TRAINING_QUEUE if keys.trains(run.job_name, run.asset_selection or ()) else DEFAULT_QUEUE
    return run.tags.get(DAGSTER_CELERY_QUEUE_TAG, usual)


def _urgency(run: dg.DagsterRun) -> int:
    """Redis serves the lowest number first; a run's tag says the highest first."""
    try:
        priority = int(run.tags.get(DAGSTER_CELERY_RUN_PRIORITY_TAG, _USUAL_PRIORITY))
    except ValueError:
        priority = _USUAL_PRIORITY
    return _HIGHEST_PRIORITY - min(max(priority, 0), _HIGHEST_PRIORITY)

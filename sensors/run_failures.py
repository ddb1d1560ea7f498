"""Tells a webhook about failed runs, with their cause, and ZenML that their trainings have ended.

See docs/decisions/0016.
"""

import dagster as dg

from fair_dagster.domain.errors import ServiceError
from fair_dagster.domain.failures import Queue
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.orchestration.runs.failures import read_failures, start_queue, webhook, work_off
from fair_dagster.orchestration.runs.lost import end_lost_runs
from fair_dagster.settings import Settings


def failure_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The one sensor over failed runs.

    Not a ``run_failure_sensor``: that moves on when its function raises, and the alert would be lost.
    """

    @dg.sensor(
        name=keys.FAILURES_SENSOR,
        minimum_interval_seconds=settings.tick_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Posts failed runs to FAIR_ALERT_WEBHOOK, ends their trainings in ZenML, and finds runs that were "
        "lost with their code server.",
    )
    def run_failures(context: dg.SensorEvaluationContext, fair: FairResource) -> dg.SensorResult:
        for run_id in end_lost_runs(context.instance):
            context.log.warning(f"run {run_id} was lost: its process was killed, and its code server with it")
        if settings.executor == "celery":
            _end_lost_starts(context)
        queue = Queue.parse(context.cursor)
        if queue is None:
            return _said("beginning now: earlier failures are not told", start_queue(context.instance))
        origin = context.code_location_origin
        send_alert = webhook(fair.services)
        worked = work_off(
            fair.services,
            context.instance,
            read_failures(context.instance, queue),
            send_alert,
            origin.location_name if origin else None,
        )
        if worked.problems and worked.queue == queue:
            # Only a tick that leaves nothing to remember may fail: Dagster forgets the cursor of a failed one.
            raise ServiceError("; ".join(worked.problems))
        told = [f"told of {len(worked.told)} failed runs"] if worked.told else []
        unset = ["FAIR_ALERT_WEBHOOK is not set: nobody is told"] if send_alert is None else []
        return _said("; ".join([*worked.problems, *told, *unset]) or "no run has failed", worked.queue)

    return [run_failures]


def _end_lost_starts(context: dg.SensorEvaluationContext) -> None:
    from fair_dagster.orchestration.workers.launcher import WorkerRunLauncher
    from fair_dagster.orchestration.workers.starts import end_lost_starts

    launcher = context.instance.run_launcher
    if not isinstance(launcher, WorkerRunLauncher):
        context.log.warning("FAIR_EXECUTOR is celery, and dagster.yaml hands runs to no worker: docs/scaling.md")
        return
    try:
        lost = end_lost_starts(context.instance, launcher)
    except ServiceError as error:
        context.log.warning(f"whether runs wait or were lost is not known: {error}")
    else:
        for run_id in lost:
            context.log.warning(f"run {run_id} was lost before it began: neither Redis nor a worker has it")


def _said(reason: str, queue: Queue) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=reason, cursor=queue.dump())

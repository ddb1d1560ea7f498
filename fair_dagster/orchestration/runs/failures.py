"""Failed runs, worked off tick by tick: people hear of them once, and ZenML hears that they have ended.

Joins Dagster's event log, the causes and the webhook. What is to be done stands in ``domain.failures``; when, in
``sensors.run_failures``.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import dagster as dg

from fair_dagster.domain.errors import FairError, ProblemsError
from fair_dagster.domain.failures import OVERLAP, FailureEvent, Queue, Telling, telling
from fair_dagster.domain.slugs import split_version_id
from fair_dagster.domain.urls import redact, split_credentials
from fair_dagster.flows.finetunes import allocations
from fair_dagster.flows.services import Services
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.alerts import Alert, send
from fair_dagster.orchestration.runs.attempts import RETRIED_AS, WILL_RETRY
from fair_dagster.orchestration.runs.causes import failed_step, failure_cause, log_tail

_PARTITION = "dagster/partition"
_EVENTS = OVERLAP + 200
_ENDINGS = 10
_TELLING_SECONDS = 15.0
_SECONDS = 30.0
"""In a tick, after which no alert begins, and nothing of ZenML: Dagster ends a tick after a minute."""
_UNREADABLE = "its cause cannot be read now; Dagster's UI may show it"
_LOG_LINES = 40
_GOING = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)

T = TypeVar("T")
Send = Callable[[Alert], None]


@dataclass(frozen=True)
class Worked:
    """What a tick came to: the queue that is left, the runs people have heard of, what went wrong."""

    queue: Queue
    told: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def start_queue(instance: dg.DagsterInstance) -> Queue:
    """A queue that begins now: what failed before is not told, and looked at in the UI."""
    newest = instance.fetch_run_status_changes(dg.DagsterEventType.RUN_FAILURE, limit=1).records
    return Queue(newest[0].storage_id if newest else -1, {r.storage_id: r.run_id for r in newest})


def read_failures(instance: dg.DagsterInstance, queue: Queue) -> Queue:
    """The queue with the runs that failed since it was read."""
    newest = instance.fetch_run_status_changes(dg.DagsterEventType.RUN_FAILURE, limit=1).records
    if newest and newest[0].storage_id < queue.position:
        # Numbers are used again once the runs that had the highest were deleted.
        queue = Queue(newest[0].storage_id, queue.seen, queue.untold, queue.unended, queue.retrying)
    after = dg.RunStatusChangeRecordsFilter(
        event_type=dg.DagsterEventType.RUN_FAILURE, after_storage_id=queue.read_after
    )
    records = instance.fetch_run_status_changes(after, limit=_EVENTS, ascending=True).records
    return queue.take([FailureEvent(record.storage_id, record.run_id) for record in records])


def work_off(
    services: Services, instance: dg.DagsterInstance, queue: Queue, send_alert: Send | None, location: str | None = None
) -> Worked:
    """Tell people what is untold, the oldest first, or end in ZenML what has ended, within the time of a tick.

    ZenML has its turn in a tick that had nothing to tell, or could not: one that waits for it for too long is ended by
    Dagster and its queue forgotten, and people would be told once more of what they were told in it.

    Args:
        send_alert: None when nobody is to be told.
        location: the name of our code location; failures of another one are not ours. None means all are.
    """
    begun = time.monotonic()

    def tell(record: dg.RunRecord) -> bool:
        if send_alert is not None:
            send_alert(alert_of(services, instance, record))
        return send_alert is not None

    worked = _tell(instance, queue, tell, location, begun + _TELLING_SECONDS)
    if worked.queue != queue:
        return worked
    queue, problems = _end_runs(services, instance, queue, begun + _SECONDS)
    return Worked(queue, problems=(*worked.problems, *problems))


def _tell(
    instance: dg.DagsterInstance,
    queue: Queue,
    tell: Callable[[dg.RunRecord], bool],
    location: str | None,
    deadline: float,
) -> Worked:
    """``tell`` says whether there was anybody to be told."""
    told: list[str] = []
    problems: list[str] = []
    for run_id in queue.untold:
        if time.monotonic() > deadline:
            break
        try:
            record = instance.get_run_record_by_id(run_id)
            decision = _decide(record, queue, location)
            if decision is Telling.WAIT:
                queue = queue.awaits_retry(run_id, datetime.now(UTC))
                continue
            if decision is Telling.TELL and record is not None and tell(record):
                told.append(run_id)
        except ProblemsError as error:
            problems.append(str(error))
        except FairError as error:
            problems.append(str(error))
            # The others would fare no better.
            break
        except Exception as error:
            # What is wrong with one run keeps nobody from hearing of the others; it is tried again at the next tick.
            problems.append(f"run {run_id} could not be told of: {type(error).__name__}: {redact(str(error))}")
            continue
        queue = queue.told(run_id)
    return Worked(queue, tuple(told), tuple(problems))


def webhook(services: Services) -> Send | None:
    """How to tell people; None when no webhook is set."""
    settings = services.settings
    if settings.alert_webhook is None:
        return None
    address = settings.alert_webhook
    return lambda alert: send(address, settings.alert_secret, alert)


def alert_of(services: Services, instance: dg.DagsterInstance, record: dg.RunRecord) -> Alert:
    """What people are to hear of a failed run, without passwords of URLs.

    Logs may lie in a bucket that is away: an alert with less is better than none.
    """
    run = record.dagster_run
    settings = services.settings
    partition = run.tags.get(_PARTITION)
    name, number = split_version_id(partition) if partition else (None, None)
    step = _read(run, "step", lambda: failed_step(instance, run.run_id))
    cause = _read(run, "cause", lambda: failure_cause(settings, instance, run.run_id))
    log = _read(run, "log", lambda: log_tail(settings, instance, run.run_id, _LOG_LINES))
    base, _ = split_credentials((settings.dagster_public_url or settings.dagster_url).rstrip("/"))
    return Alert(
        id=f"run-failure-{run.run_id}",
        run_id=run.run_id,
        job=run.job_name,
        partition=partition,
        model=run.tags.get(keys.TAG_MODEL) or (name if number is not None else None),
        version=partition if number is not None else None,
        started=_moment(record.start_time),
        ended=_moment(record.end_time),
        step=step.key if step is not None else None,
        cause=redact(cause or _UNREADABLE),
        log=[redact(line) for line in log or ()],
        url=f"{base}/runs/{run.run_id}" if base else None,
    )


def _read(run: dg.DagsterRun, what: str, read: Callable[[], T]) -> T | None:
    try:
        return read()
    except Exception as error:
        logging.getLogger(__name__).warning("the %s of run %s cannot be read: %s", what, run.run_id, error)
        return None


def _decide(record: dg.RunRecord | None, queue: Queue, location: str | None) -> Telling:
    if record is None or record.dagster_run.status != dg.DagsterRunStatus.FAILURE:
        return Telling.DROP
    run = record.dagster_run
    origin = run.remote_job_origin
    if location and origin and origin.location_name != location:
        return Telling.DROP
    since = queue.retrying.get(run.run_id)
    return telling(
        # Dagster announces a retry of runs of the command line as well, and then cannot start it.
        will_retry=run.tags.get(WILL_RETRY) == "true" and origin is not None,
        retried=RETRIED_AS in run.tags,
        known_since=datetime.fromisoformat(since) if since else None,
        now=datetime.now(UTC),
    )


def _end_runs(
    services: Services, instance: dg.DagsterInstance, queue: Queue, deadline: float
) -> tuple[Queue, list[str]]:
    """Tell ZenML of trainings whose process is gone: it would say ``running`` for ever."""
    problems = []
    for run_id in queue.unended[:_ENDINGS]:
        if time.monotonic() > deadline:
            break
        try:
            _end_run(services, instance, run_id)
        except FairError as error:
            problems.append(f"ZenML was not told that the training of run {run_id} ended: {error}")
            if not isinstance(error, ProblemsError):
                break
        queue = queue.ended(run_id)
    return queue, problems


def _end_run(services: Services, instance: dg.DagsterInstance, run_id: str) -> None:
    run = instance.get_run_by_id(run_id)
    partition = run.tags.get(_PARTITION) if run is not None else None
    if run is None or not partition or not keys.is_finetune_job(run.job_name):
        return
    going_on = dg.RunsFilter(statuses=list(_GOING), tags={_PARTITION: partition}, job_name=run.job_name)
    # A retry trains the same version: its end is told when it ends.
    if not instance.get_runs(going_on, limit=1):
        services.zenml_runs.hurry()
        version = run.tags.get(keys.TAG_ZENML_VERSION)
        allocations.end_runs(services, partition, version, "the Dagster run that trained it failed")


def _moment(timestamp: float | None) -> datetime | None:
    return datetime.fromtimestamp(timestamp, UTC) if timestamp else None

"""The log of a run: ZenML's logs of the steps where it trained, Dagster's events and output otherwise."""

import logging
from datetime import UTC, datetime

import dagster as dg

from fair_dagster.domain.errors import NotFoundError
from fair_dagster.flows.finetunes import allocations
from fair_dagster.flows.services import Services
from fair_dagster.orchestration.instance import open_instance
from fair_dagster.orchestration.runs.causes import failure_cause, output_of
from fair_dagster.orchestration.runs.records import show_run
from fair_dagster.orchestration.runs.run import Run
from fair_dagster.pipelines.zenml.run_records import LogLine, select_lines
from fair_dagster.settings import Settings


def logs(
    services: Services,
    run_id: str,
    *,
    step: str | None = None,
    tail: int | None = None,
    since: datetime | None = None,
) -> list[LogLine]:
    """Log lines in order of time.

    Raises:
        NotFoundError: no such run or step; the message lists the steps.
    """
    run = show_run(services, run_id)
    lines = _dagster_lines(services.settings, run) + _zenml_lines(services, run)
    if step is not None:
        steps = sorted({line.step for line in lines if line.step})
        lines = [line for line in lines if line.step == step]
        if not lines:
            raise NotFoundError(f"step {step!r} of run {run.id}", [f"its steps are: {', '.join(steps) or 'none'}"])
    return select_lines(lines, tail=tail, since=since)


def _dagster_lines(settings: Settings, run: Run) -> list[LogLine]:
    with open_instance(settings) as instance:
        entries = instance.all_logs(run.id)
        if not entries:
            # It ended before Dagster knew it: what it printed is all there is.
            printed = output_of(settings, run.id).splitlines()
            return [LogLine(None, "ERROR", run.started, line) for line in printed]
        cause = failure_cause(settings, instance, run.id) if run.status == "FAILURE" else ""
    # Dagster's own bookkeeping is left out: what was loaded, what was stored.
    return [_line(entry, cause) for entry in entries if int(entry.level) > logging.DEBUG]


def _line(entry: dg.EventLogEntry, cause: str) -> LogLine:
    event = entry.dagster_event
    message = entry.user_message or (event.message if event else "") or ""
    if event is not None and event.is_step_failure and cause:
        # Dagster says only that the step failed.
        message = f"{message}\n{cause}"
    return LogLine(entry.step_key, _level(entry), datetime.fromtimestamp(entry.timestamp, UTC), message)


def _level(entry: dg.EventLogEntry) -> str:
    return logging.getLevelName(int(entry.level))


def _zenml_lines(services: Services, run: Run) -> list[LogLine]:
    if run.partition is None or not run.is_finetune:
        return []
    found = allocations.zenml_runs(services, run.partition, run.version_uuid, limit=1)
    return services.zenml_runs.logs(found[0].id) if found else []

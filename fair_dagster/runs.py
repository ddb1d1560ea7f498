"""Runs as people ask about them: a Dagster run with its ZenML run, progress, logs and cause of failure.

Reads the Dagster instance and the files of a run; starting runs is the business of ``execution``.
"""

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from fair_dagster import keys
from fair_dagster.domain.errors import NotFoundError, RefusedError
from fair_dagster.execution import LAUNCH_FILE, OUTPUT_FILE, is_alive, launch_folder
from fair_dagster.flows import finetunes
from fair_dagster.flows.services import Services
from fair_dagster.instance import open_instance

_STOP_SECONDS = 30.0
_OPEN = (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING)


@dataclass(frozen=True)
class Run:
    """One run. ``progress`` is (done, total, what) of the training, while there is one."""

    id: str
    job: str
    status: str
    partition: str | None
    model: str | None
    started: datetime | None
    ended: datetime | None
    pid: int | None = None
    progress: tuple[int, int, str] | None = None

    @property
    def finished(self) -> bool:
        return self.status in {"SUCCESS", "FAILURE", "CANCELED"}


def list_runs(services: Services, limit: int = 20) -> list[Run]:
    """The newest runs first. Runs whose process is gone are marked as failed on the way."""
    with open_instance(services.settings) as instance:
        records = instance.get_run_records(limit=limit)
        for record in records:
            _settle(services, instance, record.dagster_run)
        known = [_run(services, record) for record in instance.get_run_records(limit=limit)]
    starting = [run for run in _launched(services) if run.id not in {other.id for other in known}]
    return [*starting, *known][:limit]


def show_run(services: Services, run_id: str) -> Run:
    """One run, by its id or the beginning of it.

    Raises:
        NotFoundError: no run has that id.
    """
    matching = [run for run in list_runs(services, limit=500) if run.id.startswith(run_id)]
    if len(matching) != 1:
        what = "several runs begin with that" if matching else "no run has that id"
        raise NotFoundError(f"run {run_id!r}", [f"{what}; `fair-dagster run list` shows them"])
    return matching[0]


def failure_cause(services: Services, run_id: str) -> str:
    """Why a run failed: the innermost error of the first failed step, or the end of its output."""
    with open_instance(services.settings) as instance:
        for entry in instance.all_logs(run_id):
            event = entry.dagster_event
            if event is not None and event.is_step_failure:
                error = event.step_failure_data.error
                while error is not None and error.cause is not None:
                    error = error.cause
                if error is not None:
                    return error.message.strip()
            if event is not None and event.is_failure and event.message:
                return str(event.message)
    output = launch_folder(services.settings, run_id) / OUTPUT_FILE
    return output.read_text()[-2000:].strip() if output.is_file() else "it left no trace of a cause"


def stop_run(services: Services, run_id: str) -> Run:
    """End a run that goes on, with the process that trains; ZenML and Dagster are told.

    Raises:
        NotFoundError: no such run.
        RefusedError: it has ended already, or runs on another machine.
    """
    run = show_run(services, run_id)
    if run.finished:
        raise RefusedError(f"stopping run {run.id}", [f"it has ended already: {run.status}"])
    if run.pid is None or not is_alive(run.pid):
        raise RefusedError(f"stopping run {run.id}", ["its process is not on this machine; stop it in the UI"])
    os.kill(run.pid, signal.SIGINT)
    deadline = time.monotonic() + _STOP_SECONDS
    while is_alive(run.pid) and time.monotonic() < deadline:
        time.sleep(0.2)
    if is_alive(run.pid):
        with suppress(ProcessLookupError):
            os.killpg(os.getpgid(run.pid), signal.SIGKILL)
    return show_run(services, run.id)


def progress_of(services: Services, partition: str) -> tuple[int, int, str] | None:
    """How far the training of a partition is; None before it began to report."""
    try:
        allocation = finetunes.allocation_of(services, partition)
    except (NotFoundError, RefusedError):
        return None
    path = finetunes.run_folder(services, partition, allocation.uuid) / finetunes.PROGRESS_FILE
    return last_progress(path)


def last_progress(path: Path) -> tuple[int, int, str] | None:
    """The last whole line of a progress file."""
    if not path.is_file():
        return None
    for line in reversed(path.read_text().splitlines()):
        with suppress(ValueError, KeyError):
            entry = json.loads(line)
            return int(entry["done"]), int(entry["total"]), str(entry["what"])
    return None


def _run(services: Services, record: dg.RunRecord) -> Run:
    run = record.dagster_run
    partition = run.tags.get("dagster/partition")
    going = run.status in _OPEN
    return Run(
        id=run.run_id,
        job=run.job_name,
        status=run.status.value,
        partition=partition,
        model=run.tags.get(keys.TAG_MODEL),
        started=_moment(record.start_time),
        ended=_moment(record.end_time),
        pid=_pid(run.tags),
        progress=progress_of(services, partition) if going and partition else None,
    )


def _launched(services: Services) -> Sequence[Run]:
    """Runs whose process has been started and has not yet told Dagster."""
    root = services.settings.home / "runs" / "launched"
    found = []
    for path in sorted(root.glob(f"*/{LAUNCH_FILE}"), reverse=True):
        pid_file = path.with_name("pid")
        pid = int(pid_file.read_text()) if pid_file.is_file() else None
        if pid is not None and is_alive(pid):
            launch: dict[str, Any] = json.loads(path.read_text())
            started = datetime.fromisoformat(launch["started"])
            model = launch["tags"].get(keys.TAG_MODEL)
            found.append(
                Run(
                    launch["run_id"],
                    launch["job"],
                    "STARTING",
                    launch["partition"],
                    model,
                    started,
                    None,
                    pid,
                )
            )
    return found


def _settle(services: Services, instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Dagster learns nothing from a process that was killed: say it, and say it to ZenML."""
    pid = _pid(run.tags)
    if run.status not in _OPEN or pid is None or is_alive(pid):
        return
    instance.report_run_failed(run, f"its process {pid} was killed")
    partition = run.tags.get("dagster/partition")
    if partition and run.job_name.startswith("finetune__"):
        allocation = finetunes.allocation_of(services, partition)
        for zenml_run in services.zenml_runs.list(version_uuid=allocation.uuid):
            if not zenml_run.finished:
                services.zenml_runs.mark_stopped(zenml_run.id, "its process was killed")


def _pid(tags: Mapping[str, str]) -> int | None:
    text = tags.get(keys.TAG_PID, "")
    return int(text) if text.isdigit() else None


def _moment(timestamp: float | None) -> datetime | None:
    return datetime.fromtimestamp(timestamp, UTC) if timestamp else None

"""Runs as people ask about them: a Dagster run with its ZenML run, progress, logs and cause of failure.

Reads the Dagster instance and the files of a run; starting runs is the business of ``execution``.
"""

import json
import os
import re
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from fair_dagster import keys
from fair_dagster.domain import errors
from fair_dagster.domain.errors import NotFoundError, RefusedError
from fair_dagster.execution import LAUNCH_FILE, OUTPUT_FILE, PROCESS_FILE
from fair_dagster.flows import allocations
from fair_dagster.flows.run_files import Progress, launch_folder, progress_of
from fair_dagster.flows.services import Services
from fair_dagster.instance import open_instance
from fair_dagster.processes import Process

_STOP_SECONDS = 30.0
_OPEN = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
_STOPPED_FILE = "stopped"
"""Left in the folder of a run that was stopped before Dagster knew it."""


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
    progress: Progress | None = None

    @property
    def finished(self) -> bool:
        return self.status in {"SUCCESS", "FAILURE", "CANCELED"}


def list_runs(services: Services, limit: int = 20) -> list[Run]:
    """The newest runs first. Runs whose process is gone are marked as failed on the way."""
    with open_instance(services.settings) as instance:
        records = instance.get_run_records(limit=limit)
        if [record for record in records if _settle(services, instance, record.dagster_run)]:
            records = instance.get_run_records(limit=limit)
        launched = _launched(services, instance)
    runs = [*launched, *(_run(services, record) for record in records)]
    return sorted(runs, key=lambda run: run.started or datetime.now(UTC), reverse=True)[:limit]


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
    """Why a run did not succeed: our own error in the first failed step, else its innermost, or its last output."""
    with open_instance(services.settings) as instance:
        run = instance.get_run_by_id(run_id)
        if run is not None and _settle(services, instance, run):
            run = instance.get_run_by_id(run_id)
        stopped = run is None and (launch_folder(services.settings, run_id) / _STOPPED_FILE).exists()
        if stopped or (run is not None and run.status == dg.DagsterRunStatus.CANCELED):
            return "it was stopped"
        for entry in instance.all_logs(run_id):
            event = entry.dagster_event
            if event is not None and event.is_step_failure and event.step_failure_data.error is not None:
                return _told(event.step_failure_data.error)
            if event is not None and event.is_failure and event.message:
                return str(event.message)
    return output_of(services, run_id)[-2000:].strip() or "it left no trace of a cause"


def _told(error: SerializableErrorInfo) -> str:
    """The sentence of an error that Dagster kept: of ours it is the outermost, which knows most."""
    chain = [error]
    while chain[-1].cause is not None:
        chain.append(chain[-1].cause)
    ours = [link for link in chain if isinstance(getattr(errors, link.cls_name or "", None), type)]
    chosen = (ours or chain[-1:])[0]
    # Dagster puts the class, with its module for ours, before the message.
    return re.sub(rf"^([\w.]+\.)?{re.escape(chosen.cls_name or '')}: ", "", chosen.message.strip())


def output_of(services: Services, run_id: str) -> str:
    """What the process of a run printed; empty for one that has no process of its own."""
    output = launch_folder(services.settings, run_id) / OUTPUT_FILE
    return output.read_text(errors="replace") if output.is_file() else ""


def stop_run(services: Services, run_id: str) -> Run:
    """End a run that goes on, with the process that trains; ZenML and Dagster are told.

    Raises:
        NotFoundError: no such run.
        RefusedError: it has ended already, or runs on another machine.
    """
    run = show_run(services, run_id)
    if run.finished:
        raise RefusedError(f"stopping run {run.id}", [f"it has ended already: {run.status}"])
    process = Process.of(run.pid) if run.pid is not None else None
    if process is None or not process.alive:
        raise RefusedError(f"stopping run {run.id}", ["its process is not on this machine; stop it in the UI"])
    folder = launch_folder(services.settings, run.id)
    of_its_own = (folder / LAUNCH_FILE).is_file()
    if of_its_own:
        (folder / _STOPPED_FILE).touch()
    with open_instance(services.settings) as instance:
        if known := instance.get_run_by_id(run.id):
            # What ends from now on was stopped, it did not fail.
            instance.report_run_canceling(known)
    os.kill(process.pid, signal.SIGINT)
    deadline = time.monotonic() + _STOP_SECONDS
    while process.alive and time.monotonic() < deadline:
        time.sleep(0.1)
    if process.alive and of_its_own:
        process.kill_group()
    return show_run(services, run.id)


def _run(services: Services, record: dg.RunRecord) -> Run:
    run = record.dagster_run
    partition = run.tags.get("dagster/partition")
    process = _process(run.tags)
    return Run(
        id=run.run_id,
        job=run.job_name,
        status=run.status.value,
        partition=partition,
        model=run.tags.get(keys.TAG_MODEL),
        started=_moment(record.start_time) or record.create_timestamp,
        ended=_moment(record.end_time),
        pid=process.pid if process else None,
        progress=progress_of(services.settings, run.run_id) if run.status in _OPEN else None,
    )


def _launched(services: Services, instance: dg.DagsterInstance) -> list[Run]:
    """Runs whose process has been started and has not told Dagster yet, or ended before it could."""
    found = []
    for path in (services.settings.home / "runs" / "launched").glob(f"*/{PROCESS_FILE}"):
        launch: dict[str, Any] = json.loads(path.with_name(LAUNCH_FILE).read_text())
        # Alive is asked before known: in the other order a run that gets known in between looks as if it had died.
        process = Process.parse(path.read_text())
        alive = process is not None and process.alive
        if instance.has_run(launch["run_id"]):
            # From now on the run's tags say it, and the next listing has less to look at.
            path.unlink(missing_ok=True)
            continue
        ended = "CANCELED" if path.with_name(_STOPPED_FILE).exists() else "FAILURE"
        found.append(
            Run(
                id=launch["run_id"],
                job=launch["job"],
                status="STARTING" if alive else ended,
                partition=launch["partition"],
                model=launch["tags"].get(keys.TAG_MODEL),
                started=datetime.fromisoformat(launch["started"]),
                ended=None,
                pid=process.pid if process and alive else None,
            )
        )
    return found


def _settle(services: Services, instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Dagster learns nothing from a process that was killed: say it, and say it to ZenML. True when there was need."""
    process = _process(run.tags)
    if run.status not in _OPEN or process is None or process.alive:
        return False
    # The process may have ended well since its status was read.
    current = instance.get_run_by_id(run.run_id)
    if current is None or current.status not in _OPEN:
        return True
    if (launch_folder(services.settings, run.run_id) / LAUNCH_FILE).is_file():
        # The process that trains outlives a killed parent, and would fill a version that counts as failed.
        process.kill_group()
    if current.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(current)
    else:
        instance.report_run_failed(current, f"its process {process.pid} was killed")
    partition = run.tags.get("dagster/partition")
    if partition and run.job_name.startswith("finetune__"):
        allocations.end_runs(services, partition, "its process was killed")
    return True


def _process(tags: Mapping[str, str]) -> Process | None:
    return Process.parse(tags.get(keys.TAG_PROCESS, ""))


def _moment(timestamp: float | None) -> datetime | None:
    return datetime.fromtimestamp(timestamp, UTC) if timestamp else None

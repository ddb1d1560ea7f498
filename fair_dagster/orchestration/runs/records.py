"""Runs as people ask about them: a Dagster run with its ZenML run, progress, logs and cause of failure.

Reads the Dagster instance and the files of a run; starting runs is the business of ``execution``.
"""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

# Dagster raises and writes these, and exports them nowhere.
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.tags import GRPC_INFO_TAG

from fair_dagster.domain.errors import NotFoundError, RefusedError
from fair_dagster.flows.finetunes import allocations
from fair_dagster.flows.run_files import STOPPED_FILE, launch_folder, progress_of
from fair_dagster.flows.services import Services
from fair_dagster.net.processes import Process
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.instance import open_instance
from fair_dagster.orchestration.process_tags import machine_of, process_of
from fair_dagster.orchestration.runs import causes
from fair_dagster.orchestration.runs.attempts import last_attempt
from fair_dagster.orchestration.runs.execution import LAUNCH_FILE, PROCESS_FILE
from fair_dagster.orchestration.runs.lost import serves_its_machine_only
from fair_dagster.orchestration.runs.run import Run
from fair_dagster.settings import Settings

_STOP_SECONDS = 30.0
_PARTITION = "dagster/partition"
_OPEN = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def list_runs(services: Services, limit: int = 20) -> list[Run]:
    """The newest runs first. Runs whose process is gone are marked as failed on the way."""
    with open_instance(services.settings) as instance:
        # What was launched comes first: in the other order a run that gets known in between is in neither.
        launched = _launched(services.settings, instance)
        records = instance.get_run_records(limit=limit)
        if [record for record in records if _settle(services, instance, record.dagster_run)]:
            records = instance.get_run_records(limit=limit)
    found = {run.id: run for run in (*launched, *(_run(services.settings, record) for record in records))}
    runs = found.values()
    return sorted(runs, key=lambda run: run.started or datetime.now(UTC), reverse=True)[:limit]


def show_run(services: Services, run_id: str) -> Run:
    """One run, by its id or the beginning of it.

    Raises:
        NotFoundError: no run has that id.
    """
    if (run := _known(services, run_id)) is not None:
        return run
    matching = [run for run in list_runs(services, limit=500) if run.id.startswith(run_id)]
    if len(matching) != 1:
        what = "several runs begin with that" if matching else "no run has that id"
        raise NotFoundError(f"run {run_id!r}", [f"{what}; `fair-dagster run list` shows them"])
    return matching[0]


def _known(services: Services, run_id: str) -> Run | None:
    """The run with exactly that id, however long ago it was; None when there is none."""
    with open_instance(services.settings) as instance:
        record = instance.get_run_record_by_id(run_id)
        if record is None:
            paths = [path for path in _process_files(services.settings) if path.parent.name == run_id]
            launched = next((run for path in paths if (run := _launched_run(instance, path))), None)
            # Dagster may have got to know it in between.
            record = None if launched else instance.get_run_record_by_id(run_id)
            if record is None:
                return launched
        if _settle(services, instance, record.dagster_run):
            record = instance.get_run_record_by_id(run_id) or record
        return _run(services.settings, record)


def going(services: Services, partition: str) -> list[str]:
    """Ids of the runs of a partition that go on, those included whose process Dagster does not know yet."""
    waiting_too = [*_OPEN, dg.DagsterRunStatus.QUEUED]
    with open_instance(services.settings) as instance:
        launched = [
            run.id for run in _launched(services.settings, instance) if run.partition == partition and not run.finished
        ]
        found = instance.get_runs(dg.RunsFilter(statuses=waiting_too, tags={_PARTITION: partition}))
        known = [run.run_id for run in found if not _settle(services, instance, run)]
    return [*known, *(run_id for run_id in launched if run_id not in known)]


def failure_cause(services: Services, run_id: str) -> str:
    """Why a run did not succeed; one whose process is gone counts as failed from now on."""
    with open_instance(services.settings) as instance:
        run_id = last_attempt(instance, run_id)
        run = instance.get_run_by_id(run_id)
        if run is not None:
            _settle(services, instance, run)
        return causes.failure_cause(services.settings, instance, run_id)


def stop_run(services: Services, run_id: str) -> Run:
    """End a run that goes on, with the process that trains; ZenML and Dagster are told.

    Where Dagster launched another run in the place of a lost one, it is that which ends.

    Raises:
        NotFoundError: no such run.
        RefusedError: it has ended already, cannot be reached from here, or is inside a process that does more than it.
    """
    run = show_run(services, run_id)
    with open_instance(services.settings) as instance:
        latest = last_attempt(instance, run.id)
    run = run if run.id == latest else show_run(services, latest)
    if run.finished:
        raise RefusedError(f"stopping run {run.id}", [f"it has ended already: {run.status}"])
    folder = launch_folder(services.settings, run.id)
    process = Process.of(run.pid) if run.pid is not None else None
    if process is None or not (folder / LAUNCH_FILE).is_file():
        _stop_by_dagster(services.settings, run)
        return show_run(services, run.id)
    (folder / STOPPED_FILE).touch()
    with open_instance(services.settings) as instance:
        if known := instance.get_run_by_id(run.id):
            # What ends from now on was stopped, it did not fail.
            instance.report_run_canceling(known)
    os.kill(process.pid, signal.SIGINT)
    if not _wait(lambda: not process.alive):
        process.kill_group()
    return show_run(services, run.id)


def _stop_by_dagster(settings: Settings, run: Run) -> None:
    """Stop a run that the daemon or the UI started: it waits in the queue, or a code server has its process."""
    with open_instance(settings) as instance:
        known = instance.get_run_by_id(run.id)
        queued = known is not None and known.status == dg.DagsterRunStatus.QUEUED
        served = known is not None and GRPC_INFO_TAG in known.tags
        if not queued and not served and isinstance(instance.run_launcher, DefaultRunLauncher):
            where = f"inside process {run.pid}" if run.pid is not None else "by a process of another machine"
            inside = f"it has no process of its own here, it is executed {where}; wait, or end it there"
            raise RefusedError(f"stopping run {run.id}", [inside])
        if known is not None and serves_its_machine_only(known):
            machine = machine_of(known) or socket.gethostname()
            if machine != socket.gethostname():
                # Dagster would count it as canceled, and it would go on.
                raise RefusedError(f"stopping run {run.id}", [f"machine {machine!r} executes it; stop it there"])
        try:
            reached = instance.run_coordinator.cancel_run(run.id)
        except DagsterUserCodeUnreachableError:
            reached = False
        if not reached:
            gone = "the code server that started it does not answer; the daemon will count the run as canceled soon"
            raise RefusedError(f"stopping run {run.id}", [gone])
        _wait(lambda: (now := instance.get_run_by_id(run.id)) is None or now.is_finished)


def _wait(over: Callable[[], bool]) -> bool:
    """Wait until something is over; False when it is not after ``_STOP_SECONDS``."""
    deadline = time.monotonic() + _STOP_SECONDS
    while not over():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _run(settings: Settings, record: dg.RunRecord) -> Run:
    run = record.dagster_run
    process = process_of(run)
    return Run(
        id=run.run_id,
        job=run.job_name,
        status=run.status.value,
        partition=run.tags.get(_PARTITION),
        model=run.tags.get(keys.TAG_MODEL),
        started=_moment(record.start_time) or record.create_timestamp,
        ended=_moment(record.end_time),
        pid=process.pid if process else None,
        progress=progress_of(settings, run.run_id) if run.status in _OPEN else None,
        version_uuid=run.tags.get(keys.TAG_ZENML_VERSION),
    )


def _launched(settings: Settings, instance: dg.DagsterInstance) -> list[Run]:
    """Runs whose process has been started and has not told Dagster yet, or ended before it could."""
    return [run for path in _process_files(settings) if (run := _launched_run(instance, path))]


def _process_files(settings: Settings) -> Iterator[Path]:
    return (settings.runs_path / "launched").glob(f"*/{PROCESS_FILE}")


def _launched_run(instance: dg.DagsterInstance, path: Path) -> Run | None:
    """The run of a process file; None when Dagster knows it."""
    launch: dict[str, Any] = json.loads(path.with_name(LAUNCH_FILE).read_text())
    # Alive is asked before known: in the other order a run that gets known in between looks as if it had died.
    process = Process.parse(path.read_text())
    alive = process is not None and process.alive
    if instance.has_run(launch["run_id"]):
        # From now on the run's tags say it, and the next listing has less to look at.
        path.unlink(missing_ok=True)
        return None
    ended = "CANCELED" if path.with_name(STOPPED_FILE).exists() else "FAILURE"
    return Run(
        id=launch["run_id"],
        job=launch["job"],
        status="STARTING" if alive else ended,
        partition=launch["partition"],
        model=launch["tags"].get(keys.TAG_MODEL),
        started=datetime.fromisoformat(launch["started"]),
        ended=None,
        pid=process.pid if process and alive else None,
        version_uuid=launch["tags"].get(keys.TAG_ZENML_VERSION),
    )


def _settle(services: Services, instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Dagster learns nothing from a process that was killed: say it, and say it to ZenML. True when there was need."""
    process = process_of(run)
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
    partition = run.tags.get(_PARTITION)
    if partition and keys.is_finetune_job(run.job_name):
        version = run.tags.get(keys.TAG_ZENML_VERSION)
        allocations.end_runs(services, partition, version, "its process was killed")
    return True


def _moment(timestamp: float | None) -> datetime | None:
    return datetime.fromtimestamp(timestamp, UTC) if timestamp else None

"""Executing jobs on one machine: in this process for short ones, in a process of their own for long ones.

Every execution is a Dagster run in the instance under ``FAIR_HOME``, so that the UI shows it. ``python -m
fair_dagster.orchestration.runs.execution <launch file>`` is the process that a launch starts.

See docs/decisions/0005.
"""

import json
import os
import subprocess
import sys
import traceback
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from fair_dagster.domain.errors import RefusedError, StorageError
from fair_dagster.flows.finetunes.run_files import OUTPUT_FILE, STOPPED_FILE, launch_folder
from fair_dagster.net.files import write_bytes, write_json
from fair_dagster.net.processes import Process, heed_signals, leave
from fair_dagster.orchestration.instance import open_instance
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.orchestration.run_config import QUIET
from fair_dagster.orchestration.runs.launches import Launch, can_launch
from fair_dagster.orchestration.runs.process_tags import process_tag
from fair_dagster.settings import Settings

LAUNCH_FILE = "launch.json"
PROCESS_FILE = "process"


def execute(settings: Settings, launch: Launch) -> str:
    """Execute ``launch`` in this process and return the Dagster run id. Errors of the flow come out as they are."""
    _require_definitions(launch)
    from fair_dagster.definitions import build_defs

    # Without it a `Fair` with settings of its own would write where the environment points.
    fair = FairResource(values=settings.plain())
    job = build_defs(settings=settings, resource_overrides={"fair": fair}).resolve_job_def(launch.job)
    with open_instance(settings) as instance:
        job.execute_in_process(
            run_config={**launch.config, **QUIET},
            instance=instance,
            partition_key=launch.partition,
            tags={**launch.tags, **process_tag(launch.run_id, Process.of(os.getpid()))},
            asset_selection=[dg.AssetKey(parts) for parts in launch.assets] or None,
            run_id=launch.run_id,
        )
    return launch.run_id


def start(settings: Settings, launch: Launch) -> "subprocess.Popen[bytes]":
    """Start a process that executes ``launch`` and outlives this one. Its output goes to a file of the run.

    Raises:
        StorageError: the files of the run cannot be written.
        RefusedError: this installation has no definitions.
    """
    _require_definitions(launch)
    folder = launch_folder(settings, launch.run_id)
    write_json(folder / LAUNCH_FILE, {"started": datetime.now(UTC).isoformat(), **asdict(launch)})
    try:
        with (folder / OUTPUT_FILE).open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "fair_dagster.orchestration.runs.execution", str(folder / LAUNCH_FILE)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A group of its own: Ctrl-C in the terminal is not for it, and what it starts can be ended with it.
                start_new_session=True,
                env={**os.environ, **settings.environment()},
            )
    except OSError as error:
        raise StorageError(f"run {launch.run_id} cannot be started in {folder}: {error.strerror or error}") from error
    try:
        write_bytes(folder / PROCESS_FILE, str(Process.of(process.pid)).encode())
    except StorageError:
        process.kill()
        raise
    return process


def _require_definitions(launch: Launch) -> None:
    if not can_launch():
        problem = (
            "the wheel of fair-dagster leaves the definitions of Dagster jobs out: use a checkout (`make install`)"
        )
        raise RefusedError(f"job {launch.job!r}", [problem])


def main(path: str) -> int:
    """Execute the launch file at ``path``; the exit code says whether it went well."""
    heed_signals()
    if Path(path).with_name(STOPPED_FILE).exists():
        # Stopped before signals were heeded.
        return 1
    document = json.loads(Path(path).read_text())
    document.pop("started")
    try:
        settings, launch = Settings(), Launch(**document)
        if settings.executor == "celery":
            from fair_dagster.orchestration.runs.elsewhere import execute_elsewhere

            execute_elsewhere(settings, launch)
        else:
            execute(settings, launch)
    except Exception:
        # Into the run's output: what Dagster could not record would be lost.
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    leave(main(sys.argv[1]))

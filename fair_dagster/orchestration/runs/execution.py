"""Executing jobs on one machine: in this process for short ones, in a process of their own for long ones.

Every execution is a Dagster run in the instance under ``FAIR_HOME``, so that the UI shows it. Which jobs there are says
the caller, who knows the definitions; the process that a launch starts is a module of the caller's as well.

See docs/decisions/0005.
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import dagster as dg

from fair_dagster.domain.errors import StorageError
from fair_dagster.flows.run_files import OUTPUT_FILE, launch_folder
from fair_dagster.net.files import write_bytes, write_json
from fair_dagster.net.processes import Process
from fair_dagster.orchestration.instance import open_instance
from fair_dagster.orchestration.process_tags import process_tag
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.orchestration.run_config import QUIET
from fair_dagster.orchestration.runs.launches import Launch
from fair_dagster.settings import Settings

_LOG = logging.getLogger(__name__)

LAUNCH_FILE = "launch.json"
PROCESS_FILE = "process"


class Builder(Protocol):
    """Builds the definitions of an installation."""

    def __call__(self, *, settings: Settings, resource_overrides: Mapping[str, Any]) -> dg.Definitions: ...


def execute(settings: Settings, launch: Launch, build: Builder) -> str:
    """Execute ``launch`` in this process and return the Dagster run id. Errors of the flow come out as they are."""
    # Without it a `Fair` with settings of its own would write where the environment points.
    fair = FairResource(values=settings.plain())
    job = build(settings=settings, resource_overrides={"fair": fair}).resolve_job_def(launch.job)
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


def start(settings: Settings, launch: Launch, module: str) -> "subprocess.Popen[bytes]":
    """Start a process that executes ``launch`` and outlives this one. Its output goes to a file of the run.

    Args:
        module: is executed with the launch file as its argument.

    Raises:
        StorageError: the files of the run cannot be written.
    """
    folder = launch_folder(settings, launch.run_id)
    write_json(folder / LAUNCH_FILE, {"started": datetime.now(UTC).isoformat(), **asdict(launch)})
    try:
        with (folder / OUTPUT_FILE).open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module, str(folder / LAUNCH_FILE)],
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
    _LOG.info("started run %s in process %d, which writes to %s", launch.run_id, process.pid, folder / OUTPUT_FILE)
    return process


def read_launch(path: Path) -> Launch:
    """The launch of a launch file."""
    document = json.loads(path.read_text())
    document.pop("started")
    return Launch(**document)

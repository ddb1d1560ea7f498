"""Which process executes a Dagster run, kept as a tag of the run. Ending processes is the business of ``runs``."""

import os
import socket

import dagster as dg

from fair_dagster.net.processes import Process
from fair_dagster.orchestration import keys


def process_tag(run_id: str, process: Process, host: str | None = None) -> dict[str, str]:
    """The tag that says ``process``, on this machine, executes the run.

    It names the run, because Dagster copies tags to re-executions and retries, and the machine, because several may
    share one database.
    """
    return {keys.TAG_PROCESS: f"{run_id}/{host or socket.gethostname()}/{process}"}


def machine_of(run: dg.DagsterRun) -> str | None:
    """The name of the machine that executes ``run``; None when that is not known."""
    machine, _, process = _noted(run).partition("/")
    return machine if process else None


def process_of(run: dg.DagsterRun) -> Process | None:
    """The process that executes ``run``; None when that is not known, or on another machine."""
    machine, _, process = _noted(run).partition("/")
    return Process.parse(process) if machine == socket.gethostname() else None


def _noted(run: dg.DagsterRun) -> str:
    run_id, _, noted = run.tags.get(keys.TAG_PROCESS, "").partition("/")
    return noted if run_id == run.run_id else ""


def note_process(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Tag ``run``, which this process executes, so that its death is noticed where no code server watches it."""
    if machine_of(run) is None:
        instance.add_run_tags(run.run_id, process_tag(run.run_id, Process.of(os.getpid())))

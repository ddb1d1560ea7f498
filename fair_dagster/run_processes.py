"""Which process executes a Dagster run, kept as a tag of the run. Ending processes is the business of ``runs``."""

import os
import socket

import dagster as dg

from fair_dagster import keys
from fair_dagster.processes import Process


def process_tag(run_id: str, process: Process, host: str | None = None) -> dict[str, str]:
    """The tag that says ``process``, on this machine, executes the run.

    It names the run, because Dagster copies tags to re-executions and retries, and the machine, because several may
    share one database.
    """
    return {keys.TAG_PROCESS: f"{run_id}/{host or socket.gethostname()}/{process}"}


def process_of(run: dg.DagsterRun) -> Process | None:
    """The process that executes ``run``; None when that is not known, or on another machine."""
    run_id, _, rest = run.tags.get(keys.TAG_PROCESS, "").partition("/")
    host, _, process = rest.partition("/")
    return Process.parse(process) if (run_id, host) == (run.run_id, socket.gethostname()) else None


def note_process(context: dg.OpExecutionContext) -> None:
    """Tag the run of ``context`` with this process, so that its death is noticed where no code server watches it."""
    if process_of(context.run) is None:
        context.instance.add_run_tags(context.run_id, process_tag(context.run_id, Process.of(os.getpid())))

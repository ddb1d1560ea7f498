"""``worker``: execute the runs that Dagster hands out, and see which workers answer."""

import os
import sys
from collections.abc import Sequence

import click

from fair_dagster.cli.terminal.session import Session, reports, serves
from fair_dagster.cli.terminal.tables import Column

_COLUMNS = (Column("worker"), Column("queues"), Column("runs", right=True))


@click.group("worker")
def worker() -> None:
    """Workers of the broker that FAIR_BROKER_URL names. They need the settings of the machine that starts runs."""


@worker.command("start")
@click.option("--queue", "queues", multiple=True, help="What to take runs from; both by default: dagster, training.")
@click.option("--concurrency", type=click.IntRange(min=1), help="Runs at a time; as many as CPUs by default.")
@click.option("--name", help="What to call it in logs; must be its own.")
@serves
def start(session: Session, queues: Sequence[str], concurrency: int | None, name: str | None) -> None:
    """Take runs until SIGTERM or Ctrl-C, which lets the runs at hand end; a second one does not."""
    workers = session.fair.workers
    workers.prepare()
    command = workers.command(queues, concurrency=concurrency, name=name)
    sys.stdout.flush()
    os.execve(command[0], command, workers.environment())  # noqa: S606 - no shell is wanted


@worker.command("list")
@click.option("--name", help="Only this one, e.g. to ask for its health.")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=3.0, show_default=True, help="Seconds to wait.")
@reports
def list_workers(session: Session, name: str | None, timeout: float) -> None:
    """The workers that answer now, with the runs each has at hand. Exit code 1 when none does."""
    found = session.fair.workers.list(name=name, timeout=timeout)
    rows = [(one.name, ", ".join(one.queues), one.runs) for one in found]
    documents = [{"name": one.name, "queues": list(one.queues), "runs": one.runs} for one in found]
    session.out.show(documents, lambda: session.out.table(_COLUMNS, rows))
    if not found:
        session.out.problem(f"no worker{f' {name}' if name else ''} answers")
        click.get_current_context().exit(1)

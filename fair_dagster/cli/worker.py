"""``worker``: execute steps that other machines hand out, and see which workers answer."""

import os
import socket
import sys
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from fair_dagster.cli.terminal.session import Session, reports, serves
from fair_dagster.cli.terminal.tables import Column
from fair_dagster.domain.errors import RefusedError

if TYPE_CHECKING:
    from fair_dagster.settings import Settings

_COLUMNS = (Column("worker"), Column("queues"), Column("steps", right=True))
_EXTRA = "install fair-dagster with its extra `team`"


@click.group("worker")
def worker() -> None:
    """Workers of the broker that FAIR_BROKER_URL names. They need the settings of the machine that starts runs."""


@worker.command("start")
@click.option("--queue", "queues", multiple=True, help="What to take steps from; both by default: dagster, training.")
@click.option("--concurrency", type=click.IntRange(min=1), help="Steps at a time; as many as CPUs by default.")
@click.option("--name", help="What to call it in logs; must be its own.")
@serves
def start(session: Session, queues: Sequence[str], concurrency: int | None, name: str | None) -> None:
    """Take steps until SIGTERM or Ctrl-C, which lets the steps at hand end; a second one does not."""
    settings = session.fair.settings
    _require(settings)
    session.fair.init()
    command = worker_command(queues, concurrency, name)
    sys.stdout.flush()
    os.execve(command[0], command, {**os.environ, **settings.environment()})  # noqa: S606 - no shell is wanted


def worker_command(queues: Sequence[str], concurrency: int | None, name: str | None) -> list[str]:
    """Celery's command line of a worker."""
    from fair_dagster.orchestration.workers.app import QUEUES

    node = f"{name or f'fair-{uuid.uuid4().hex[:6]}'}@{socket.gethostname()}"
    options = ["--queues", ",".join(queues or QUEUES), "--hostname", node, "--loglevel", "INFO"]
    # They gossip over the broker about what nobody here asks for.
    options += ["--without-gossip", "--without-mingle"]
    options += ["--concurrency", str(concurrency)] if concurrency else []
    return [sys.executable, "-m", "celery", "--app", "fair_dagster.orchestration.workers.app", "worker", *options]


@worker.command("list")
@click.option("--name", help="Only this one, e.g. to ask for its health.")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=3.0, show_default=True, help="Seconds to wait.")
@reports
def list_workers(session: Session, name: str | None, timeout: float) -> None:
    """The workers that answer now, with the steps each has at hand. Exit code 1 when none does."""
    url = _require(session.fair.settings)
    from fair_dagster.orchestration.workers.workers import answering

    found = answering(url, timeout, name)
    rows = [(one.name, ", ".join(one.queues), one.steps) for one in found]
    documents = [{"name": one.name, "queues": list(one.queues), "steps": one.steps} for one in found]
    session.out.show(documents, lambda: session.out.table(_COLUMNS, rows))
    if not found:
        session.out.problem(f"no worker{f' {name}' if name else ''} answers")
        click.get_current_context().exit(1)


def _require(settings: "Settings") -> str:
    """The broker's URL.

    Raises:
        RefusedError: it is not set, or Celery is not installed.
    """
    from fair_dagster.orchestration.workers.broker import require_broker

    try:
        import celery  # noqa: F401
        import dagster_celery  # noqa: F401
    except ModuleNotFoundError as error:
        raise RefusedError("a worker", [f"the package {error.name!r} is not installed; {_EXTRA}"]) from error
    return require_broker(settings)

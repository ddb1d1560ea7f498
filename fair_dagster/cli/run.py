"""``run``: list, show, logs, stop."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from fair_dagster.cli.terminal import views
from fair_dagster.cli.terminal.session import Session, reports
from fair_dagster.cli.terminal.values import since_option

if TYPE_CHECKING:
    from fair_dagster.fair import LogLine


@click.group("run")
def run() -> None:
    """Runs: what was done, how far it is, what it said. RUN_ID is a run's id or the beginning of it."""


@run.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@reports
def list_runs(session: Session, limit: int) -> None:
    """The newest runs."""
    now = datetime.now(UTC)
    found = session.fair.runs(limit)
    if not found:
        session.out.remark("nothing has been run yet")
    rows = [views.run_row(record, now) for record in found]
    documents = [views.run_document(record, now) for record in found]
    session.out.show(documents, lambda: session.out.table(views.RUN_COLUMNS, rows))


@run.command("show")
@click.argument("run_id")
@reports
def show(session: Session, run_id: str) -> None:
    """One run: status, progress, duration."""
    now = datetime.now(UTC)
    record = session.fair.run(run_id)
    session.out.show(views.run_document(record, now), lambda: session.out.pairs(views.run_pairs(record, now)))


@run.command("logs")
@click.argument("run_id")
@click.option("--step", help="Only this step.")
@click.option("--tail", type=click.IntRange(min=0), help="Only the last so many lines.")
@since_option("Only what was said since then; a time without a zone is UTC.")
@reports
def logs(session: Session, run_id: str, step: str | None, tail: int | None, since: datetime | None) -> None:
    """What a run said, step by step, in order of time (UTC)."""
    lines = session.fair.logs(run_id, step=step, tail=tail, since=since)
    documents = [{"time": line.time, "level": line.level, "step": line.step, "message": line.message} for line in lines]

    def text() -> None:
        for line in lines:
            session.out.line(_log_text(line))

    session.out.show(documents, text)


def _log_text(line: "LogLine") -> str:
    time = views.clock(line.time) if line.time else " " * 19
    step = f"[{line.step}] " if line.step else ""
    return f"{time} {line.level:<8} {step}{line.message}"


@run.command("stop")
@click.argument("run_id")
@reports
def stop(session: Session, run_id: str) -> None:
    """Stop a run that goes on, with the process that trains."""
    now = datetime.now(UTC)
    record = session.fair.stop(run_id)
    status = record.status.lower()
    session.out.show(views.run_document(record, now), lambda: session.out.line(f"run {record.id}: {status}"))

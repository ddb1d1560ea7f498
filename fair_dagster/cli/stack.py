"""``stack``: ZenML's stacks, on which trainings run: apply files, list, choose."""

from dataclasses import asdict
from pathlib import Path

import click

from fair_dagster.cli.terminal.output import Column
from fair_dagster.cli.terminal.session import Session, reports


@click.group("stack")
def stack() -> None:
    """ZenML's stacks: where trainings run and where their artifacts lie."""


@stack.command("apply")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--use", is_flag=True, help="Run the trainings of this home on it.")
@reports
def apply(session: Session, path: Path, use: bool) -> None:
    """Register a stack with its components and secrets, or bring them in step with FILE.

    FILE is like those in deploy/zenml. Secrets come from the environment and go to ZenML's server; none stands in FILE.
    """
    applied = session.fair.stacks.apply(path, use=use)
    record = applied.stack

    def text() -> None:
        for sentence in applied.changes or (f"stack {record.name} is what {path} says",):
            session.out.line(sentence)
        if not record.active:
            session.out.line(f"next: fair-dagster stack use {record.name}")

    session.out.show(asdict(record) | {"done": list(applied.changes)}, text)


@stack.command("list")
@reports
def list_stacks(session: Session) -> None:
    """The stacks that ZenML has; a star marks the one that trainings of this home run on."""
    found = session.fair.stacks.list()
    columns = [Column("stack"), Column("orchestrator"), Column("artifact store"), Column("id")]
    rows = [
        (
            f"* {one.name}" if one.active else one.name,
            one.components.get("orchestrator"),
            one.components.get("artifact_store"),
            one.id,
        )
        for one in found
    ]
    session.out.show([asdict(one) for one in found], lambda: session.out.table(columns, rows))


@stack.command("use")
@click.argument("name")
@reports
def use_stack(session: Session, name: str) -> None:
    """Run the trainings of this home on a stack."""
    record = session.fair.stacks.use(name)
    session.out.show(asdict(record), lambda: session.out.line(f"trainings of this home run on {record.name}"))

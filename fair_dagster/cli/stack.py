"""``stack``: ZenML's stacks, on which trainings run: apply files, list, choose."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fair_dagster.cli.terminal.session import Session, reports
from fair_dagster.cli.terminal.tables import Column

if TYPE_CHECKING:
    from fair_dagster.pipelines.zenml.stacks import Stacks


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
    from fair_dagster.pipelines.zenml.stack_files import read_stack_file

    found = read_stack_file(path, os.environ)
    stacks = _stacks(session)
    done = stacks.apply(found)
    record = stacks.use(found.name) if use else next(one for one in stacks.all() if one.name == found.name)

    def text() -> None:
        for sentence in done or (f"stack {found.name} is what {path} says",):
            session.out.line(sentence)
        if not record.active:
            session.out.hint(f"fair-dagster stack use {found.name}")

    session.out.show(asdict(record) | {"done": list(done)}, text)


@stack.command("list")
@reports
def list_stacks(session: Session) -> None:
    """The stacks that ZenML has; a star marks the one that trainings of this home run on."""
    found = _stacks(session).all()
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
    record = _stacks(session).use(name)
    session.out.show(asdict(record), lambda: session.out.line(f"trainings of this home run on {record.name}"))


def _stacks(session: Session) -> "Stacks":
    from fair_dagster.pipelines.zenml.stacks import Stacks

    return Stacks(session.fair.settings)

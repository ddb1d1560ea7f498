"""``tracking``: list, send."""

from typing import TYPE_CHECKING

import click

from fair_dagster.cli.terminal.output import Column
from fair_dagster.cli.terminal.session import Session, reports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fair_dagster.fair import Waiting

_COLUMNS = (Column("training", whole=True), Column("state"), Column("problem"))


@click.group("tracking")
def tracking() -> None:
    """The experiment tracker (FAIR_TRACKING): what it has not been sent yet."""


@tracking.command("list")
@reports
def list_waiting(session: Session) -> None:
    """Trainings that are being tracked, and those that a tracker which is away waits for."""
    _show(session, session.fair.tracking.waiting(), "everything is sent")


@tracking.command("send")
@reports
def send(session: Session) -> None:
    """Send what waits, now; the next training would do it as well. Says what is left."""
    from fair_dagster.domain.errors import PartialError

    left = session.fair.tracking.send()
    if left:
        raise PartialError("sending to the tracker", [f"{one.key}: {one.problem or 'not tried yet'}" for one in left])
    _show(session, left, "everything is sent")


def _show(session: Session, entries: "Sequence[Waiting]", nothing: str) -> None:
    def text() -> None:
        if not entries:
            session.out.line(nothing)
        session.out.table(_COLUMNS, [[one.key, one.state, one.problem] for one in entries])

    session.out.show([vars(one) for one in entries], text)

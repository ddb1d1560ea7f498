"""Progress of what a command waits for: a bar on a terminal, lines where it is no terminal. All of it on stderr.

A bar says from its first frame what is being done.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from fair_dagster.cli.terminal.cells import cell, position_text
from fair_dagster.cli.terminal.output import Output
from fair_dagster.cli.terminal.signals import sigterm_stops

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

    from fair_dagster.fair import Started

_LOG = logging.getLogger(__name__)
_PHASE_SHOWN = 40
STARTING = "starting"

Report = Callable[[int, int, str], None]
"""What the work calls: how much is done, how much there is (0 where it is not known), and of what."""


def show_count(out: Output, title: str, phase: str) -> AbstractContextManager[Report]:
    """A bar of things that are done, with the time that they have taken. ``phase`` is what the work begins with."""

    def columns() -> "list[ProgressColumn]":
        from rich.progress import MofNCompleteColumn, TimeElapsedColumn

        return [MofNCompleteColumn(), TimeElapsedColumn()]

    return _show(out, title, phase, columns)


def show_bytes(out: Output, title: str, phase: str) -> AbstractContextManager[Report]:
    """A bar of bytes that have come or gone, with their speed. ``phase`` is what the work begins with."""

    def columns() -> "list[ProgressColumn]":
        from rich.progress import DownloadColumn, TransferSpeedColumn

        return [DownloadColumn(), TransferSpeedColumn()]

    return _show(out, title, phase, columns)


@contextmanager
def _show(out: Output, title: str, phase: str, columns: "Callable[[], list[ProgressColumn]]") -> Iterator[Report]:
    logged: set[str] = set()

    def log(what: str) -> None:
        if what not in logged:
            logged.add(what)
            _LOG.info("%s: %s", title, what)

    log(phase)
    if not out.shows_bars:
        yield lambda _done, _total, what: log(what)
        return
    with _bar(out, columns()) as bar:
        task = bar.add_task(_describe(title, phase), total=None)

        def show(done: int, total: int, what: str) -> None:
            log(what)
            # Without a total the bar goes on pulsing.
            bar.update(task, description=_describe(title, what), completed=done, total=total or None)

        yield show


def wait(started: "Started", out: Output, title: str) -> str:
    """Wait for the run; its subject. SIGTERM stops it as Ctrl-C does. Errors are those of ``Started.wait``."""
    with sigterm_stops():
        try:
            return _wait_with_bar(started, out, title) if out.shows_bars else _wait_with_lines(started, out, title)
        except KeyboardInterrupt:
            out.problem(
                f"run {started.run_id} was told to stop; `fair-dagster run show {started.run_id}` says how it ended"
            )
            raise


def _wait_with_bar(started: "Started", out: Output, title: str) -> str:
    from rich.progress import TimeElapsedColumn

    with _bar(out, [TimeElapsedColumn()]) as bar:
        task = bar.add_task(_describe(title, STARTING), total=None)

        def show(position: tuple[int, int, str] | None) -> None:
            if position is not None:
                done, total, _ = position
                bar.update(task, description=_describe(title, position_text(position)), completed=done, total=total)

        return started.wait(progress=show)


def _wait_with_lines(started: "Started", out: Output, title: str) -> str:
    shown: list[str] = []

    def show(position: tuple[int, int, str] | None) -> None:
        text = position_text(position) or STARTING
        if text not in shown[-1:]:
            shown.append(text)
            out.remark(f"{title}: {text}")

    return started.wait(progress=show)


def _describe(title: str, phase: str) -> str:
    return f"{title}: {cell(phase)[:_PHASE_SHOWN]}"


def _bar(out: Output, columns: "list[ProgressColumn]") -> "Progress":
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    first = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn())
    return Progress(*first, *columns, console=out.stderr_console, transient=True)

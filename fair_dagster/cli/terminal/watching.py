"""A progress bar on a terminal for work that this process does itself; nothing where nobody watches. On stderr."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from fair_dagster.cli.terminal.output import Output

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

Watched = AbstractContextManager[Callable[[int, int, str], None]]
"""Gives what the work calls with how much is done, how much there is, and of what."""


def watched(out: Output, title: str) -> Watched:
    """A bar of things that are done, with the time that they have taken."""

    def columns() -> "list[ProgressColumn]":
        from rich.progress import MofNCompleteColumn, TimeElapsedColumn

        return [MofNCompleteColumn(), TimeElapsedColumn()]

    return _bar(out, title, columns)


def transferring(out: Output, title: str) -> Watched:
    """A bar of bytes that have come or gone, with their speed."""

    def columns() -> "list[ProgressColumn]":
        from rich.progress import DownloadColumn, TransferSpeedColumn

        return [DownloadColumn(), TransferSpeedColumn()]

    return _bar(out, title, columns)


@contextmanager
def _bar(
    out: Output, title: str, columns: "Callable[[], list[ProgressColumn]]"
) -> Iterator[Callable[[int, int, str], None]]:
    if not out.stderr_is_terminal:
        yield lambda done, total, what: None
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    first = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn())
    with Progress(*first, *columns(), console=out.stderr_console, transient=True) as bar:
        task = bar.add_task(title, total=None)

        def show(done: int, total: int, what: str) -> None:
            # Without a total the bar goes on pulsing.
            bar.update(task, description=f"{title}: {what[:40]}", completed=done, total=total or None)

        yield show

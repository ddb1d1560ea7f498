"""A progress bar on a terminal for work that this process does itself; nothing where nobody watches. On stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fair_dagster.cli.output import Output


@contextmanager
def watched(out: Output, title: str) -> Iterator[Callable[[int, int, str], None]]:
    """What the work calls with how much is done, how much there is, and of what."""
    if not out.stderr_is_terminal:
        yield lambda done, total, what: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=out.stderr_console, transient=True) as bar:
        task = bar.add_task(title, total=None)

        def show(done: int, total: int, what: str) -> None:
            # Without a total the bar goes on pulsing.
            bar.update(task, description=f"{title}: {what}", completed=done, total=total or None)

        yield show

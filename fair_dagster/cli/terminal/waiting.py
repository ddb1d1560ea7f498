"""Waiting for a run: a progress bar on a terminal, a line a step of progress otherwise. All of it on stderr."""

from typing import TYPE_CHECKING

from fair_dagster.cli.terminal.output import Output
from fair_dagster.cli.terminal.signals import sigterm_stops
from fair_dagster.cli.terminal.views import progress_text

if TYPE_CHECKING:
    from fair_dagster.fair import Started


def wait(started: "Started", out: Output, title: str) -> str:
    """Wait for the run; its subject. SIGTERM stops it as Ctrl-C does. Errors are those of ``Started.wait``."""
    with sigterm_stops():
        try:
            if out.stderr_is_terminal:
                return _wait_with_bar(started, out, title)
            return _wait_with_lines(started, out, title)
        except KeyboardInterrupt:
            out.remark(f"run {started.run_id} was told to stop; `fair-dagster run show {started.run_id}` tells the end")
            raise


def _wait_with_bar(started: "Started", out: Output, title: str) -> str:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[position]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=out.stderr_console, transient=True) as bar:
        task = bar.add_task(title, total=None, position="")

        def show(position: tuple[int, int, str] | None) -> None:
            if position is not None:
                done, total, _ = position
                bar.update(task, completed=done, total=total, position=progress_text(position))

        return started.wait(progress=show)


def _wait_with_lines(started: "Started", out: Output, title: str) -> str:
    told: list[str] = []

    def show(position: tuple[int, int, str] | None) -> None:
        text = progress_text(position)
        if text and text not in told[-1:]:
            told.append(text)
            out.remark(f"{title}: {text}")

    return started.wait(progress=show)

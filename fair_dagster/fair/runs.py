"""Runs of Dagster: what was done, how far it is, what it logged, and stopping it."""

from datetime import datetime
from typing import TYPE_CHECKING

from fair_dagster.fair.part import Part

if TYPE_CHECKING:
    from fair_dagster.orchestration.runs.run import Run
    from fair_dagster.pipelines.zenml.run_records import LogLine


class Runs(Part):
    """What ``Fair`` does with runs."""

    def can_start_runs(self) -> bool:
        """Whether runs can be executed here: Dagster and the definitions are installed, as in a checkout."""
        from fair_dagster.orchestration.runs import launches

        return launches.can_launch()

    def runs(self, limit: int = 20) -> "list[Run]":
        """The newest runs, at most ``limit``, the last started first."""
        from fair_dagster.orchestration.runs.records import list_runs

        return list_runs(self.services, limit)

    def run(self, run_id: str) -> "Run":
        """A run, by its id or the beginning of it.

        Raises:
            NotFoundError: no run has that id, or several begin with it.
        """
        from fair_dagster.orchestration.runs.records import show_run

        return show_run(self.services, run_id)

    def logs(
        self, run_id: str, *, step: str | None = None, tail: int | None = None, since: datetime | None = None
    ) -> "list[LogLine]":
        """The log of a run, of all its steps or one, in order of time.

        Args:
            tail: only the last so many lines.
            since: only what was logged since then; aware.

        Raises:
            NotFoundError: no such run, or it has no such step.
        """
        from fair_dagster.orchestration.runs.logs import logs

        return logs(self.services, run_id, step=step, tail=tail, since=since)

    def stop(self, run_id: str) -> "Run":
        """Stop a run that goes on, with the process that trains.

        Raises:
            NotFoundError: no such run.
            RefusedError: it has ended, runs on another machine, or inside a process that does more than this run.
        """
        from fair_dagster.orchestration.runs.records import stop_run

        return stop_run(self.services, run_id)

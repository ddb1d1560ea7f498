"""ZenML runs: list them, read their logs, stop them, say why they failed.

Starting a run is the runner's work, in a process of its own; nothing here does it.
"""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fair_dagster.domain.errors import NotFoundError
from fair_dagster.pipelines.zenml.client import aware, open_client, zenml_errors
from fair_dagster.pipelines.zenml.run_records import LogLine, RunRecord, StepRecord, describe_exception, select_lines
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from zenml.client import Client

RunRecords = list[RunRecord]
Lines = list[LogLine]
# The artifact log store has no cursor: what does not fit into one page is not served.
_LOG_PAGE = 1_000_000


class Runs:
    """Thin client. Every method may raise ``ServiceError`` when ZenML cannot be used."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _client(self) -> "Client":
        return open_client(self._settings)

    def hurry(self) -> None:
        """Let calls fail soon, from now on in this process: for a sensor, whose tick Dagster ends after 60 s.

        Raises:
            ServiceError: the server does not answer now.
        """
        self._client = open_client(self._settings, patient=False)

    def show(self, run: str) -> RunRecord:
        """One run with its steps.

        Args:
            run: UUID or whole name.

        Raises:
            NotFoundError: there is no such run.
        """
        with self._calls():
            row = self._row(run)
            return _record(row, self._steps(row))

    def find(self, name_end: str) -> RunRecord | None:
        """The newest run whose name ends with ``name_end``, with its steps; None when there is none."""
        with self._calls():
            rows = self._client.list_pipeline_runs(name=f"endswith:{name_end}", size=1, hydrate=True).items
            return _record(rows[0], self._steps(rows[0])) if rows else None

    def logs(
        self, run: str, *, step: str | None = None, tail: int | None = None, since: datetime | None = None
    ) -> Lines:
        """Log lines in order of time, of one step or of the run with all steps.

        Args:
            tail: only so many, the newest.
            since: only those at or after this aware moment.

        Raises:
            NotFoundError: there is no such run or step; the message lists the steps that exist.
        """
        with self._calls():
            row = self._row(run)
            steps = row.steps
            if step is not None and step not in steps:
                known = ", ".join(steps) or "none"
                raise NotFoundError(f"step {step!r} of run {row.name}", [f"its steps are: {known}"])
            lines: Lines = []
            for name, step_row in steps.items():
                if step in (None, name):
                    lines += self._lines(step_row.log_collection, name)
            if step is None:
                lines += self._lines(row.log_collection, None)
            return select_lines(lines, tail=tail, since=since)

    def mark_stopping(self, run: str, reason: str) -> None:
        """Write down that a run is about to end: a step that fails from now on was stopped, not broken."""
        with self._calls():
            from zenml.enums import ExecutionStatus
            from zenml.orchestrators.publish_utils import publish_pipeline_run_status_update

            row = self._row(run)
            if not row.status.is_finished:
                publish_pipeline_run_status_update(row.id, ExecutionStatus.STOPPING, status_reason=reason)

    def mark_stopped(self, run: str, reason: str = "stopped") -> RunRecord:
        """Write down that a run and its unfinished steps have ended; nothing happens when they had.

        For a run whose process is gone: ZenML would say ``running`` for ever.

        Raises:
            NotFoundError: there is no such run.
        """
        # First the run, then its steps: ZenML computes the run's status from both, and a run that is not
        # `stopping` goes back to `running` when it has steps that never started.
        self.mark_stopping(run, reason)
        with self._calls():
            from zenml.enums import ExecutionStatus
            from zenml.orchestrators import publish_utils

            row = self._row(run)
            for step_row in row.steps.values():
                if not step_row.status.is_finished:
                    publish_utils.publish_step_run_status_update(
                        step_row.id, ExecutionStatus.STOPPED, end_time=datetime.now(UTC)
                    )
            if not self._row(str(row.id)).status.is_finished:
                publish_utils.publish_pipeline_run_status_update(row.id, ExecutionStatus.STOPPED, status_reason=reason)
        return self.show(str(row.id))

    def step_metadata(self, run: str) -> dict[str, Any]:
        """What the steps of a run logged on themselves, later steps over earlier ones."""
        with self._calls():
            merged: dict[str, Any] = {}
            for step_row in self._row(run).steps.values():
                merged.update(step_row.run_metadata)
            return merged

    def list(
        self,
        *,
        model: str | None = None,
        version_uuid: str | None = None,
        status: str | None = None,
        limit: int = 50,
    ) -> RunRecords:
        """The newest runs first, without their steps.

        Args:
            model: only runs of this model, by its whole name.
            version_uuid: only runs of this model version.
            status: only runs in this ZenML status, e.g. ``running``.
        """
        with self._calls():
            filters: dict[str, Any] = {"sort_by": "desc:created", "size": limit, "hydrate": True}
            if model is not None:
                rows = self._client.list_models(name=f"equals:{model}", size=1).items
                if not rows:
                    raise NotFoundError(f"model {model!r}", ["there is no such model"])
                filters["model"] = rows[0].id
            if version_uuid is not None:
                filters["linked_to_model_version_id"] = UUID(version_uuid)
            if status is not None:
                filters["status"] = status
            return [_record(row, ()) for row in self._client.list_pipeline_runs(**filters).items]

    @contextlib.contextmanager
    def _calls(self) -> Iterator[None]:
        # The client is opened first: it sets the environment that ZenML reads when imported.
        _ = self._client
        with zenml_errors():
            yield

    def _row(self, run: str) -> Any:
        rows = self._client.list_pipeline_runs(name=f"equals:{run}", size=1, hydrate=True).items
        if rows:
            return rows[0]
        with contextlib.suppress(ValueError, KeyError):
            return self._client.get_pipeline_run(UUID(run), allow_name_prefix_match=False)
        newest = [row.name for row in self._client.list_pipeline_runs(size=5).items]
        known = f"the newest are {', '.join(newest)}" if newest else "there is none yet"
        raise NotFoundError(f"run {run!r}", [f"there is no such run; {known}"])

    def _steps(self, row: Any) -> tuple[StepRecord, ...]:
        steps = [_step(name, step_row) for name, step_row in row.steps.items()]
        return tuple(sorted(steps, key=lambda step: step.started.timestamp() if step.started else float("inf")))

    def _lines(self, streams: Sequence[Any] | None, step: str | None) -> Lines:
        store = self._client.active_stack.log_store
        lines: Lines = []
        for stream in streams or ():
            page = store.fetch(stream, start="oldest", limit=_LOG_PAGE)
            entries = list(page.items)
            while page.after and page.items:
                page = store.fetch(stream, after=page.after, limit=_LOG_PAGE)
                entries += page.items
            lines += [_line(entry, step) for entry in entries]
        return lines


def _record(row: Any, steps: tuple[StepRecord, ...]) -> RunRecord:
    version = row.model_version
    return RunRecord(
        id=str(row.id),
        name=row.name,
        status=row.status.value,
        pipeline=row.pipeline.name if row.pipeline else "",
        model=version.model.name if version else None,
        version=version.number if version else None,
        started=aware(row.start_time) if row.start_time else None,
        seconds=_seconds(row),
        steps=steps,
    )


def _step(name: str, row: Any) -> StepRecord:
    info = row.exception_info
    return StepRecord(
        name=name,
        status=row.status.value,
        started=aware(row.start_time) if row.start_time else None,
        seconds=_seconds(row),
        cause=describe_exception(info.source, info.message, info.traceback) if info else None,
    )


def _seconds(row: Any) -> float | None:
    if row.start_time is None:
        return None
    end = aware(row.end_time) if row.end_time else datetime.now(UTC)
    return round((end - aware(row.start_time)).total_seconds(), 3)


def _line(entry: Any, step: str | None) -> LogLine:
    level = getattr(entry.level, "name", None) or "INFO"
    return LogLine(step, level, aware(entry.timestamp) if entry.timestamp else None, entry.message.rstrip())

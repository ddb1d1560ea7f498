"""A run that was started in a process of its own: waiting for it, watching it, hearing why it failed."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fair_dagster.domain.errors import PipelineError
from fair_dagster.flows.run_files import Progress, progress_of
from fair_dagster.flows.services import Services

if TYPE_CHECKING:
    import subprocess


@dataclass(frozen=True)
class Started:
    """A run that was started: ``wait`` for it, or leave it and look at it with ``Fair.run``.

    Args:
        run_id: Dagster's run id.
        subject: the version that is trained, or the GeoJSON file that is written.
    """

    run_id: str
    subject: str
    _services: Services = field(repr=False)
    _process: "subprocess.Popen[bytes]" = field(repr=False)

    def wait(self, progress: Callable[[Progress | None], None] | None = None) -> str:
        """Wait until the run has ended; ``progress`` is called several times a second. Ctrl-C stops the run.

        Returns:
            The subject.

        Raises:
            PipelineError: the run failed; the message is the cause.
        """
        from fair_dagster.orchestration.runs.records import failure_cause, stop_run

        try:
            while self._process.poll() is None:
                if progress is not None:
                    progress(progress_of(self._services.settings, self.run_id))
                time.sleep(0.2)
        except KeyboardInterrupt:
            stop_run(self._services, self.run_id)
            raise
        if self._process.returncode != 0:
            raise PipelineError(failure_cause(self._services, self.run_id))
        return self.subject

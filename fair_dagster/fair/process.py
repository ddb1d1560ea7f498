"""The process of a run that ``Fair`` starts: ``python -m fair_dagster.fair.process <launch file>``.

What it executes stands in the launch file; how, in ``orchestration.runs``. It joins that to the definitions.
"""

import sys
import traceback
from pathlib import Path

from fair_dagster.flows.run_files import STOPPED_FILE
from fair_dagster.net.processes import heed_signals, leave
from fair_dagster.orchestration.runs.execution import execute, read_launch
from fair_dagster.settings import Settings


def main(path: Path) -> int:
    """Execute the launch file at ``path``; the exit code says whether it went well."""
    heed_signals()
    if path.with_name(STOPPED_FILE).exists():
        # Stopped before signals were heeded.
        return 1
    try:
        # Signals are heeded first: this takes seconds.
        from fair_dagster.definitions import build_defs, job_of

        settings, launch = Settings(), read_launch(path)
        if settings.executor == "celery":
            from fair_dagster.orchestration.workers.execution import execute_elsewhere

            execute_elsewhere(settings, launch, job_of)
        else:
            execute(settings, launch, build_defs)
    except Exception:
        # Into the run's output: what Dagster could not record would be lost.
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    leave(main(Path(sys.argv[1])))

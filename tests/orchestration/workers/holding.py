"""A code location whose one run goes on until it is let go: an op that waits for a process, as a training does."""

import os
import sys
from pathlib import Path

import dagster as dg

JOB = "hold"
# As the runner does it: SIGKILL to whoever started it ends it too.
_CHILD = """
import os, sys, time
from pathlib import Path
from fair_dagster.net.processes import end_with_parent
end_with_parent()
notes, run_id = Path(sys.argv[1]), sys.argv[2]
with (notes / f"{run_id}.begun").open("a") as begun:
    begun.write(f"{os.getppid()} {os.getpid()}\\n")
while not (notes / "go").exists():
    time.sleep(0.1)
"""


class HoldConfig(dg.Config):
    """Where each beginning is noted, as the ids of the run's process and of its child, and where ``go`` ends them."""

    notes: str


@dg.op
def wait(context: dg.OpExecutionContext, config: HoldConfig, pipes: dg.PipesSubprocessClient) -> dg.Output[None]:
    # The worker's own folder does not matter.
    root = str(Path(__file__).parents[3])
    command = [sys.executable, "-c", _CHILD, config.notes, context.run_id]
    pipes.run(context=context, command=command, env={**os.environ, "PYTHONPATH": root})
    return dg.Output(None)


@dg.job(name=JOB)
def hold() -> None:
    wait()


def job_of(_name: str) -> dg.JobDefinition:
    return defs.resolve_job_def(JOB)


defs = dg.Definitions(jobs=[hold], resources={"pipes": dg.PipesSubprocessClient()}, executor=dg.in_process_executor)

"""Runs that Dagster launched in the place of others, whose process was lost (``run_retries`` of the instance)."""

import dagster as dg

WILL_RETRY = "dagster/will_retry"
RETRIED_AS = "dagster/auto_retry_run_id"


def last_attempt(instance: dg.DagsterInstance, run_id: str) -> str:
    """The run that was launched last in the place of ``run_id``; itself where there was no need."""
    while True:
        run = instance.get_run_by_id(run_id)
        retried_as = run.tags.get(RETRIED_AS) if run is not None else None
        if not retried_as:
            return run_id
        run_id = retried_as


def awaits_retry(run: dg.DagsterRun) -> bool:
    """Whether Dagster is about to launch another run in the place of ``run``."""
    return run.tags.get(WILL_RETRY) == "true" and RETRIED_AS not in run.tags

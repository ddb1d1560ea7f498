"""Watches for trainings that have ended, and whose runs are not in the experiment tracker yet."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from fair_dagster.flows.finetunes import tracking
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


def tracking_sensors(
    settings: Settings, jobs: "Sequence[dg.JobDefinition | UnresolvedAssetJobDefinition]"
) -> list[dg.SensorDefinition]:
    """The one sensor over trainings that wait for the tracker."""

    @dg.sensor(
        name=keys.TRACKING_SENSOR,
        jobs=[job for job in jobs if job.name == keys.TRACKING_JOB],
        minimum_interval_seconds=settings.tick_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Copies trainings to the experiment tracker that it did not get when they ended.",
    )
    def tracked_trainings(context: dg.SensorEvaluationContext, fair: FairResource) -> dg.RunRequest | dg.SkipReason:
        due = tracking.due(fair.services)
        if not due:
            return dg.SkipReason("every training that has ended is tracked")
        # The job tries for minutes; where that was not enough, it is tried again in the next hour.
        hour = datetime.now(UTC).strftime("%Y-%m-%dT%H")
        digest = hashlib.sha256(" ".join(sorted(due)).encode()).hexdigest()[:16]
        return dg.RunRequest(f"{hour}:{digest}", tags={keys.TAG_CAUSE: f"{len(due)} trainings wait for the tracker"})

    return [tracked_trainings]

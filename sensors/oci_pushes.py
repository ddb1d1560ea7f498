"""Watches repositories for models that others push: one run a digest, which checks, registers and builds an image.

See docs/decisions/0044.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from fair_dagster.domain.errors import ServiceError
from fair_dagster.flows.registries.pushes import PushedModel, PushesLook, look
from fair_dagster.oci.notifications.pushes import PushesCursor
from fair_dagster.orchestration import keys, run_config
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


def push_sensors(
    settings: Settings, jobs: "Sequence[dg.JobDefinition | UnresolvedAssetJobDefinition]"
) -> list[dg.SensorDefinition]:
    """The one sensor over registries: what they told us of, and their tags."""

    @dg.sensor(
        name=keys.PUSHES_SENSOR,
        jobs=[job for job in jobs if job.name == keys.PUSHED_JOB],
        minimum_interval_seconds=settings.tick_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Registers models that are pushed to the repositories that FAIR_OCI_WATCH names.",
    )
    def oci_pushes(context: dg.SensorEvaluationContext, fair: FairResource) -> dg.SensorResult | dg.SkipReason:
        if not fair.services.settings.oci_watch:
            return dg.SkipReason("FAIR_OCI_WATCH is not set: no repository is watched")
        found = look(fair.services, PushesCursor.parse(context.cursor))
        if found.is_stuck:
            raise ServiceError("; ".join(found.problems))
        for note in found.notes:
            context.log.info(note)
        for problem in found.problems:
            context.log.warning(problem)
        return _result(found)

    return [oci_pushes]


def _result(found: PushesLook) -> dg.SensorResult:
    return dg.SensorResult(
        run_requests=[_run_request(pushed) for pushed in found.models],
        skip_reason=None if found.models else dg.SkipReason("no model was pushed since the last look"),
        cursor=found.cursor.dump(),
    )


def _run_request(pushed: PushedModel) -> dg.RunRequest:
    return dg.RunRequest(
        pushed.key,
        job_name=keys.PUSHED_JOB,
        run_config=run_config.configure_pushed(str(pushed.reference)),
        tags={keys.TAG_ARTIFACT: str(pushed.reference), keys.TAG_CAUSE: pushed.cause},
    )

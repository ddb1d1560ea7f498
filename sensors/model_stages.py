"""Watches the stages of ZenML's model versions: one run per family whose catalog items have to follow.

See docs/decisions/0013.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from fair_dagster.domain.publication.stage_changes import StagesCursor
from fair_dagster.flows.publication.stages import Recompute, StageLimits, StagesLook, look
from fair_dagster.orchestration import keys, run_config
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

_WAITING = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)
_GOING = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
_STUCK = timedelta(minutes=15)
_LONGEST_DISTANCE = timedelta(hours=1)


def stage_sensors(
    settings: Settings,
    slugs: Sequence[str],
    jobs: "Sequence[dg.JobDefinition | UnresolvedAssetJobDefinition]",
) -> list[dg.SensorDefinition]:
    """The one sensor over stages, for the base models ``slugs`` that have assets here."""
    names = {keys.RECOMPUTE_JOB, *(keys.publish_job(slug) for slug in slugs)}
    limits = StageLimits(longest_distance=max(int(_LONGEST_DISTANCE.total_seconds()) // settings.sensor_interval, 1))

    @dg.sensor(
        name=keys.STAGES_SENSOR,
        jobs=[job for job in jobs if job.name in names],
        minimum_interval_seconds=settings.tick_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Lets the catalog follow promotions, archivings and deletions that were made in ZenML.",
    )
    def model_stages(context: dg.SensorEvaluationContext, fair: FairResource) -> dg.SensorResult:
        # A tick that raises leaves the cursor as it was, and so does a look that could not be finished.
        found = look(
            fair.services, StagesCursor.parse(context.cursor), slugs, lambda: _families_going(context.instance), limits
        )
        for note in found.notes:
            context.log.info(note)
        return _result(found)

    return [model_stages]


def _result(found: StagesLook) -> dg.SensorResult:
    agreed = "ZenML and the catalog agree"
    if found.cursor.open:
        agreed = f"{len(found.cursor.open)} models are waited for: {', '.join(sorted(found.cursor.open)[:10])}"
    return dg.SensorResult(
        run_requests=[_run_request(request) for request in found.requests],
        skip_reason=None if found.requests else dg.SkipReason(agreed),
        cursor=found.cursor.dump(),
        dynamic_partitions_requests=_partition_requests(found),
    )


def _run_request(request: Recompute) -> dg.RunRequest:
    tags = {keys.TAG_MODEL: request.family, keys.TAG_CAUSE: request.cause}
    if request.partition:
        job = keys.publish_job(request.base_model)
        return dg.RunRequest(request.key, job_name=job, partition_key=request.partition, tags=tags)
    config = run_config.configure_recompute(request.family)
    return dg.RunRequest(request.key, job_name=keys.RECOMPUTE_JOB, run_config=config, tags=tags)


def _partition_requests(
    found: StagesLook,
) -> list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest]:
    added, gone = defaultdict(list), defaultdict(list)
    for request in found.requests:
        if request.partition:
            added[request.base_model].append(request.partition)
    for base_model, id_ in found.partitions_gone:
        gone[base_model].append(id_)
    return [
        *(keys.finetunes(slug).build_add_request(ids) for slug, ids in added.items()),
        *(keys.finetunes(slug).build_delete_request(ids) for slug, ids in gone.items()),
    ]


def _families_going(instance: dg.DagsterInstance) -> set[str]:
    """Families for which this sensor has a run queued or going on.

    A publication takes seconds: a run whose process was killed with the daemon never ends, and is not waited for.
    """
    started_by_us = {"dagster/sensor_name": keys.STAGES_SENSOR}
    records = instance.get_run_records(dg.RunsFilter(statuses=[*_WAITING, *_GOING], tags=started_by_us))
    since = datetime.now(UTC) - _STUCK
    return {
        record.dagster_run.tags[keys.TAG_MODEL]
        for record in records
        if keys.TAG_MODEL in record.dagster_run.tags
        and (record.dagster_run.status in _WAITING or record.update_timestamp.astimezone(UTC) > since)
    }

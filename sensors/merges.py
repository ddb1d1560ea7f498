"""Watches the branch that holds ``models/``: one run per changed base model folder."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from fair_dagster.domain.errors import ServiceError
from fair_dagster.domain.merges import MergesCursor, Outcome
from fair_dagster.flows.base_models import merges
from fair_dagster.flows.base_models.branch import Repository
from fair_dagster.orchestration import keys, run_config
from fair_dagster.orchestration.reload import ask_for_reload
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

_ENDED: dict[dg.DagsterRunStatus, Outcome] = {
    dg.DagsterRunStatus.SUCCESS: "done",
    # Somebody wanted it so.
    dg.DagsterRunStatus.CANCELED: "done",
    dg.DagsterRunStatus.FAILURE: "lost",
}


def merge_sensors(
    settings: Settings, jobs: "Sequence[dg.JobDefinition | UnresolvedAssetJobDefinition]"
) -> list[dg.SensorDefinition]:
    """The sensor of a code location that was loaded with ``settings``."""

    @dg.sensor(
        name=keys.MERGES_SENSOR,
        jobs=[job for job in jobs if job.name in {keys.SYNC_JOB, keys.COLLECTIONS_JOB}],
        minimum_interval_seconds=settings.tick_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Registers base models when their folders change on the branch, and retires those whose "
        "folders are removed.",
    )
    def merged(context: dg.SensorEvaluationContext, fair: FairResource) -> dg.SensorResult | dg.SkipReason:
        now = fair.services.settings
        if not now.models_repo:
            return dg.SkipReason("FAIR_MODELS_REPO is not set: base models are registered by hand")
        cursor = MergesCursor.from_json(context.cursor)
        found = merges.look(fair.services.catalog, Repository(now), cursor, lambda key: _ended(context.instance, key))
        for remark in found.remarks:
            context.log.warning(remark)
        requests = _requests(found)
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else f"{now.models_branch} stands at {found.head[:10]}: no run is due",
            cursor=_reloaded(context, settings, now, found).to_json(),
        )

    return [merged]


def _requests(found: merges.MergesLook) -> list[dg.RunRequest]:
    requests = [
        dg.RunRequest(
            run_key=merge.key,
            job_name=keys.SYNC_JOB,
            run_config=run_config.configure_sync(merge.folder),
            tags={keys.TAG_MODEL: merge.slug, **keys.commit_tags(merge.commit.sha, merge.commit.subject)},
        )
        for merge in found.merges
    ]
    if found.schemas:
        tags = keys.commit_tags(found.schemas.sha, found.schemas.subject)
        key = f"schemas:{found.schemas.sha[:12]}:{found.head[:12]}"
        requests.append(dg.RunRequest(run_key=key, job_name=keys.COLLECTIONS_JOB, tags=tags))
    return requests


def _ended(instance: dg.DagsterInstance, run_key: str) -> tuple[Outcome, datetime | None]:
    """How the newest run with a key ended."""
    tags = {"dagster/run_key": run_key, "dagster/sensor_name": keys.MERGES_SENSOR}
    records = instance.get_run_records(dg.RunsFilter(tags=tags), limit=1)
    if not records:
        return "unknown", None
    run, ended = records[0].dagster_run, records[0].end_time
    outcome = _ENDED.get(run.status, "going")
    if outcome == "lost" and keys.TAG_REFUSED in run.tags:
        outcome = "refused"
    return outcome, datetime.fromtimestamp(ended, UTC) if ended else None


def _reloaded(
    context: dg.SensorEvaluationContext, loaded: Settings, now: Settings, found: merges.MergesLook
) -> MergesCursor:
    """The cursor, after the code location was asked to load the folders of the head when it has others.

    Once for each checkout: where another environment decides what is loaded, asking again would not help.
    """
    cursor, checkout = found.cursor, found.models.parent.name
    if loaded.models == found.models or cursor.reloaded == checkout:
        return cursor
    if not now.dagster_url:
        context.log.info("FAIR_DAGSTER_URL is not set: reload the code location for new base models to show as assets")
        return cursor
    origin = context.code_location_origin
    try:
        ask_for_reload(now.dagster_url, origin.location_name if origin else "")
    except ServiceError as error:
        context.log.warning(f"{error}; reload the code location by hand, or wait for the next tick")
        return cursor
    return replace(cursor, reloaded=checkout)

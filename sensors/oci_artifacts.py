"""Watches for promoted models that their registry does not have: one run a version, which pushes it."""

import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from fair_dagster.domain.items.entries import Entry
from fair_dagster.flows.registries.publication import UNSET, unpushed
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

_MOST = 20


def artifact_sensors(
    settings: Settings,
    slugs: Sequence[str],
    jobs: "Sequence[dg.JobDefinition | UnresolvedAssetJobDefinition]",
) -> list[dg.SensorDefinition]:
    """The sensor over promoted models, for the base models ``slugs`` that have assets here."""
    names = {keys.push_job(slug) for slug in slugs}
    if not names:
        return []

    @dg.sensor(
        name=keys.ARTIFACTS_SENSOR,
        jobs=[job for job in jobs if job.name in names],
        minimum_interval_seconds=settings.tick_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Pushes promoted models to the registry that FAIR_OCI_REPOSITORY names.",
    )
    def oci_artifacts(context: dg.SensorEvaluationContext, fair: FairResource) -> dg.SensorResult | dg.SkipReason:
        if not fair.services.settings.oci_repository:
            return dg.SkipReason(UNSET)
        # A push that failed is tried again in the next hour: its registry was away, or somebody has to look.
        hour = datetime.now(UTC).strftime("%Y-%m-%dT%H")
        asked = _asked(context.cursor, hour)
        lacking = [
            entry for entry in unpushed(fair.services.catalog, fair.services.settings) if entry.base_model in slugs
        ]
        due = [entry for entry in lacking if entry.uid not in asked][:_MOST]
        added = defaultdict(list)
        for entry in due:
            added[entry.base_model].append(entry.id)
        waiting = f"{len(lacking)} models wait for their runs, or for the next hour"
        return dg.SensorResult(
            run_requests=[_run_request(entry, fair.services.settings.oci_repository, hour) for entry in due],
            skip_reason=None
            if due
            else dg.SkipReason(waiting if lacking else "every promoted model is in the registry"),
            cursor=json.dumps({"hour": hour, "asked": [*asked, *(entry.uid for entry in due)]}),
            dynamic_partitions_requests=[keys.finetunes(slug).build_add_request(ids) for slug, ids in added.items()],
        )

    return [oci_artifacts]


def _asked(cursor: str | None, hour: str) -> list[str]:
    """UUIDs of the versions that runs were asked for in this hour."""
    with suppress(ValueError, TypeError, AttributeError):
        document = json.loads(cursor or "{}")
        if document.get("hour") == hour:
            return [str(uid) for uid in document["asked"]]
    return []


def _run_request(entry: Entry, repository: str, hour: str) -> dg.RunRequest:
    return dg.RunRequest(
        f"{repository}:{entry.uid}:{hour}",
        job_name=keys.push_job(entry.base_model),
        partition_key=entry.id,
        tags={keys.TAG_MODEL: entry.family, keys.TAG_CAUSE: "promoted, and not in the registry"},
    )

"""The composition root: the only importer of ``assets`` and ``sensors``. Dagster loads ``defs``."""

import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets.base_models import base_model_asset
from assets.checks import collection_checks
from assets.collections import collection_assets
from assets.datasets import dataset_asset
from assets.finetuned_models import finetuned_model_asset
from assets.local_models import local_model_asset
from assets.oci_artifacts import oci_artifact_asset
from assets.staleness import staleness_checks
from assets.training_configs import training_config_asset
from fair_dagster.flows.base_models.registration import slug_of_folder, usable_folders
from fair_dagster.orchestration.jobs import asset_jobs
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.orchestration.workers.executors import executor_of, training_tags
from fair_dagster.settings import Settings
from sensors.merges import merge_sensors
from sensors.model_stages import stage_sensors
from sensors.oci_artifacts import artifact_sensors
from sensors.oci_pushes import push_sensors
from sensors.run_failures import failure_sensors
from sensors.schedules import schedules
from sensors.tracking import tracking_sensors


def build_defs(
    *, settings: Settings | None = None, resource_overrides: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """All definitions, for the base model folders that are there now."""
    settings = (settings or Settings()).pinned()
    found = usable_folders(settings.models)
    slugs = [slug_of_folder(folder) for folder in found]
    jobs = asset_jobs(slugs)
    resources = {"fair": FairResource(), "pipes": dg.PipesSubprocessClient()}
    definitions = dg.Definitions(
        assets=[
            dataset_asset(settings),
            *(base_model_asset(folder) for folder in found),
            *(training_config_asset(slug) for slug in slugs),
            *(finetuned_model_asset(slug, training_tags(settings)) for slug in slugs),
            *(local_model_asset(slug, settings) for slug in slugs),
            *(oci_artifact_asset(slug, settings) for slug in slugs),
            *collection_assets(slugs),
        ],
        asset_checks=[*collection_checks(), *staleness_checks()],
        jobs=jobs,
        sensors=[
            *merge_sensors(settings, jobs),
            *stage_sensors(settings, slugs, jobs),
            *artifact_sensors(settings, slugs, jobs),
            *push_sensors(settings, jobs),
            *failure_sensors(settings),
            *tracking_sensors(settings, jobs),
        ],
        schedules=schedules(settings),
        resources=resources | dict(resource_overrides or {}),
        executor=executor_of(settings),
    )
    with warnings.catch_warnings():
        # Dagster warns of an argument that it gives to our sensors itself. What is resolved here is kept for later.
        warnings.simplefilter("ignore", dg.BetaWarning)
        definitions.get_repository_def()
    return definitions


@dg.definitions
def defs() -> dg.Definitions:
    return build_defs()


def job_of(name: str) -> dg.JobDefinition:
    """The job ``name``; processes of a run on other machines load it by this function."""
    return build_defs(settings=Settings()).resolve_job_def(name)

"""Jobs: one for each flow a user asks for. Jobs over assets where something is made, op jobs where nothing is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from fair_dagster.orchestration import keys
from fair_dagster.orchestration.ops.publication import (
    apply_publication,
    configured_family,
    gather_family,
    publish_artifacts,
)
from fair_dagster.orchestration.ops.registries import build_pushed_image, check_pushed, register_pushed
from fair_dagster.orchestration.ops.training import deliver_tracked, predict_images, sync_folder

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


# What their steps hand on, or read, is on the machine of the run: one process executes all of them.
_HERE = dg.in_process_executor
# For the same reason a run in the place of a lost one, perhaps on another machine, begins with the first step.
_WHOLE = {"dagster/retry_strategy": "ALL_STEPS"}


@dg.job(
    name=keys.RECOMPUTE_JOB,
    executor_def=_HERE,
    tags=_WHOLE,
    description="Recompute the published items of one finetuned model, e.g. after a version was deleted.",
)
def recompute_family() -> None:
    apply_publication(publish_artifacts(gather_family(configured_family())))


@dg.job(name=keys.PREDICT_JOB, description="Draw features on images with any model of the catalog.")
def predict() -> None:
    predict_images()


@dg.job(
    name=keys.SYNC_JOB,
    executor_def=_HERE,
    description="Bring one base model in step with its folder at the head of the branch: register or retire it.",
)
def sync_base_model() -> None:
    sync_folder()


@dg.job(
    name=keys.PUSHED_JOB,
    executor_def=_HERE,
    tags=_WHOLE,
    description="Check a model that was pushed to a watched repository, register it, and build its image.",
)
def register_pushed_model() -> None:
    build_pushed_image(register_pushed(check_pushed()))


@dg.job(
    name=keys.TRACKING_JOB,
    executor_def=_HERE,
    description="Copy tracked trainings that have ended to the experiment tracker.",
)
def deliver_tracking() -> None:
    deliver_tracked()


def asset_jobs(slugs: Sequence[str]) -> "list[dg.JobDefinition | UnresolvedAssetJobDefinition]":
    """The jobs over the assets of a code location with the base models ``slugs``."""
    jobs: list[dg.JobDefinition | UnresolvedAssetJobDefinition] = [
        dg.define_asset_job(
            keys.DATASETS_JOB, dg.AssetSelection.assets(keys.DATASETS), description="Register a dataset."
        ),
        dg.define_asset_job(
            keys.COLLECTIONS_JOB,
            dg.AssetSelection.groups(keys.COLLECTIONS_GROUP),
            description="Recompute the collection documents and check every item.",
        ),
    ]
    if slugs:
        jobs.append(
            dg.define_asset_job(
                keys.BASE_MODELS_JOB,
                dg.AssetSelection.groups(keys.BASE_MODELS_GROUP),
                description="Validate the base model folders and publish their items.",
            )
        )
    for slug in slugs:
        jobs += [
            dg.define_asset_job(
                keys.finetune_job(slug),
                dg.AssetSelection.assets(keys.training_config(slug), keys.finetuned_model(slug)),
                description=f"Finetune {slug}: write the configuration, train.",
            ),
            dg.define_asset_job(
                keys.publish_job(slug),
                dg.AssetSelection.assets(keys.local_model(slug)),
                description=f"Recompute the published finetunes of {slug}.",
            ),
            dg.define_asset_job(
                keys.push_job(slug),
                dg.AssetSelection.assets(keys.oci_artifact(slug)),
                description=f"Push promoted finetunes of {slug} to the registry that FAIR_OCI_REPOSITORY names.",
            ),
        ]
    return [*jobs, recompute_family, predict, sync_base_model, register_pushed_model, deliver_tracking]

"""Every name that Dagster stores or shows: asset keys, partition sets, groups, jobs, tags. Built here only."""

from collections.abc import Iterable

import dagster as dg

from fair_dagster.domain import items

OWNER = "team:fair"

BASE_MODELS_GROUP = "base_models"
DATASETS_GROUP = "datasets"
FINETUNES_GROUP = "finetunes"
LOCAL_MODELS_GROUP = "local_models"
COLLECTIONS_GROUP = "collections"
OCI_GROUP = "oci_artifacts"

DATASETS = dg.AssetKey("datasets")
DATASETS_PARTITIONS_NAME = "datasets"
DATASET_PARTITIONS = dg.DynamicPartitionsDefinition(name=DATASETS_PARTITIONS_NAME)

BASE_MODELS_JOB = "register_base_models"
DATASETS_JOB = "register_dataset"
DATASETS_OP = "datasets"
COLLECTIONS_JOB = "refresh_collections"
RECOMPUTE_JOB = "recompute_family"
FAMILY_OP = "configured_family"
GATHER_OP = "gather_family"
PREDICT_JOB = "predict"
PREDICT_OP = "predict_images"
SYNC_JOB = "sync_base_model"
SYNC_OP = "sync_folder"
PUSHED_JOB = "register_pushed_model"
TRACKING_JOB = "deliver_tracking"
PUSHED_OP = "check_pushed"

MERGES_SENSOR = "merges"
STAGES_SENSOR = "model_stages"
FAILURES_SENSOR = "run_failures"
ARTIFACTS_SENSOR = "oci_artifacts"
PUSHES_SENSOR = "oci_pushes"
TRACKING_SENSOR = "tracked_trainings"
RECONCILIATION_SCHEDULE = "reconciliation"

CODE_LOCATION = "fair-dagster"
"""The name of the code location in ``deploy/``: the daemon launches a lost run of the command line again from there."""

TRAINING_QUEUE = "training"
"""Celery's queue of runs that train: its workers have the memory, or the GPU, for it."""

_FINETUNED_MODELS = "finetuned_models"

TRAINING_POOL = "training"
"""Concurrency pool of everything that trains; its limit stands in the instance."""

TAG_MODEL = "fair/model"
TAG_VERSION = "fair/version"
TAG_ZENML_VERSION = "fair/zenml_version_id"
"""ZenML's UUID of the version that a run was started for; its number, and so its partition, may get another owner."""
TAG_PROCESS = "fair/process"
TAG_CAUSE = "fair/cause"
"""Why a sensor started a run, for people: a commit, a change of stage."""
TAG_COMMIT = "fair/commit"
TAG_ARTIFACT = "fair/artifact"
"""The artifact of a registry that a run is about, by its digest."""
TAG_REFUSED = "fair/refused"
"""On a run that failed because of what it was given: trying it again would end the same."""


_FINETUNE = "finetune"


def base_model(slug: str) -> dg.AssetKey:
    return dg.AssetKey(["base_models", slug])


def commit_tags(commit: str, subject: str) -> dict[str, str]:
    """The tags of a run whose cause is a commit."""
    return {TAG_COMMIT: commit, TAG_CAUSE: f"{commit[:10]} {subject}"}


def code_version(digest: str) -> str:
    """The code version of a base model whose folder has ``digest``: a newer schema makes its item outdated too."""
    return f"{digest.removeprefix('sha256:')[:16]}-{items.SCHEMA_VERSION}"


def training_config(slug: str) -> dg.AssetKey:
    return dg.AssetKey(["training_configs", slug])


def finetuned_model(slug: str) -> dg.AssetKey:
    return dg.AssetKey([_FINETUNED_MODELS, slug])


def local_model(slug: str) -> dg.AssetKey:
    return dg.AssetKey(["local_models", slug])


def oci_artifact(slug: str) -> dg.AssetKey:
    return dg.AssetKey(["oci_artifacts", slug])


def collection(collection_id: str) -> dg.AssetKey:
    return dg.AssetKey(["collections", collection_id.replace("-", "_")])


def finetunes_name(slug: str) -> str:
    """The partition set of a base model's finetunes; its keys are version ids, ``<model name>-v<n>``."""
    return f"finetunes__{slug}"


def finetunes(slug: str) -> dg.DynamicPartitionsDefinition:
    return dg.DynamicPartitionsDefinition(name=finetunes_name(slug))


def finetune_job(slug: str) -> str:
    """Dagster allows no hyphens in job names."""
    return f"{_FINETUNE}__{slug.replace('-', '_')}"


def is_finetune_job(name: str) -> bool:
    return name.startswith(f"{_FINETUNE}__")


def trains(job: str, assets: Iterable[dg.AssetKey]) -> bool:
    """Whether a run of ``job``, or of a selection of ``assets``, trains a model."""
    return is_finetune_job(job) or any(key.path[0] == _FINETUNED_MODELS for key in assets)


def activity_of_job(name: str) -> str:
    """What a job does, for people: ``finetune``, ``publish``, ``recompute family``. Of what, its partition says."""
    return name.partition("__")[0].replace("_", " ")


def publish_job(slug: str) -> str:
    return f"publish__{slug.replace('-', '_')}"


def push_job(slug: str) -> str:
    return f"push__{slug.replace('-', '_')}"

"""A backfill after a schema change: published items of schema version 1.0.0 become items of the newest one.

    python -m benchmarks.backfill [--json] [--families 250] [--versions 4]

Families are of a usual size: four promoted versions, the last of them in production. Models and versions are real ones
in ZenML, with files in the artifact store and items in the catalog; they are made in bulk beforehand. The backfill is
that of the asset, as the daemon launches it: a fresh process a run of ``Settings.partitions_of_run`` partitions, one
after the other, with the instance in SQLite. Then it is done again, with nothing to do.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from benchmarks.report import Budget, Report, Row, Table, note, show
from fair_dagster.definitions import build_defs
from fair_dagster.domain import items
from fair_dagster.domain.items.artifacts import PublishedArtifact
from fair_dagster.domain.items.coverage import DERIVED
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.domain.publication.desired import Family, Release, desired_items
from fair_dagster.domain.publication.promoted_items import CHECKPOINT_ASSET, MODEL_ASSET, local_item
from fair_dagster.domain.requests import PROMOTION_KEY, FinetuneRequest
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.flows import datasets
from fair_dagster.flows.base_models import registration
from fair_dagster.flows.publication.artifacts import folder_of_version
from fair_dagster.flows.services import Services
from fair_dagster.imagery.synthesize import synthesize
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.instance import open_instance
from fair_dagster.pipelines.filenames import CHECKPOINT_FILENAME, ONNX_FILENAME
from fair_dagster.pipelines.zenml.client import open_client
from fair_dagster.settings import PROJECT_ROOT, Settings

MODEL = "texture-segmentation"
DATASET = "town"
BUDGET_SECONDS = 60.0
BUDGET_MEGABYTES = 500.0
FORMER = "1.0.0"
_RUN = "from benchmarks.backfill import run_partitions; run_partitions()"
_RANGE = ("FAIR_BENCHMARK_FIRST", "FAIR_BENCHMARK_LAST")


def request_of(slug: str) -> FinetuneRequest:
    return FinetuneRequest(base_model=MODEL, base_model_version=1, dataset=DATASET, dataset_version=1, model_name=slug)


def slug_of(family: int) -> str:
    return f"model-{family:05d}"


def prepare(settings: Settings, families: int, versions: int) -> None:
    """An installation with published families as a release before this one left them."""
    services = Services(settings)
    note("registering base model and dataset …")
    registration.register(services, settings.models / MODEL.replace("-", "_"))
    town = synthesize(settings.home / "data", chips=4, size=64)
    spec = datasets.DatasetSpec(DATASET, town.train_chips, town.labels, synthetic=True)
    path = settings.home / "dataset.json"
    datasets.write_item(datasets.create(services, spec), path)
    datasets.register(services, path)
    slugs = [slug_of(number) for number in range(families)]
    note(f"making {families * versions:,} versions in ZenML …")
    make_versions(settings, slugs, versions)
    note("publishing them …")
    publish_former(services, slugs)
    with open_instance(settings) as instance:
        ids = [f"{slug}-v{number}" for slug in slugs for number in range(1, versions + 1)]
        instance.add_dynamic_partitions(keys.finetunes_name(MODEL), ids)


def make_versions(settings: Settings, slugs: Sequence[str], versions: int) -> None:
    """Models and versions by the requests that ZenML's client itself sends, without its checks around each."""
    client = open_client(settings)  # before anything of ZenML is imported: it sets the environment
    from zenml.enums import MetadataResourceTypes
    from zenml.metadata.metadata_types import MetadataTypeEnum
    from zenml.models import ModelRequest, ModelVersionRequest, RunMetadataRequest, RunMetadataResource

    store, project = client.zen_store, client.active_project.id
    by_rank: dict[int, list[Any]] = {number: [] for number in range(1, versions + 1)}
    for slug in slugs:
        model = store.create_model(ModelRequest(name=slug, project=project, save_models_to_registry=False))
        own = []
        for number, of_rank in by_rank.items():
            stage = "production" if number == versions else "archived" if number == versions - 1 else None
            request = ModelVersionRequest(model=model.id, project=project, stage=stage)
            made = RunMetadataResource(
                id=store.create_model_version(request).id, type=MetadataResourceTypes.MODEL_VERSION
            )
            own.append(made)
            of_rank.append(made)
        values = request_of(slug).to_metadata() | {"fair/building_iou": 0.5}
        types = {key: _type_of(value, MetadataTypeEnum) for key, value in values.items()}
        store.create_run_metadata(RunMetadataRequest(project=project, resources=own, values=values, types=types))
    for rank, resources in by_rank.items():
        values, types = {PROMOTION_KEY: rank}, {PROMOTION_KEY: MetadataTypeEnum.INT}
        store.create_run_metadata(RunMetadataRequest(project=project, resources=resources, values=values, types=types))


def _type_of(value: Any, types: Any) -> Any:
    return types.DICT if isinstance(value, dict) else types.FLOAT if isinstance(value, float) else types.STRING


def publish_former(services: Services, slugs: Sequence[str]) -> None:
    """Items of the former schema version, with their files."""
    (base_model,) = services.catalog.family(items.BASE_MODELS, MODEL)
    (dataset,) = services.catalog.family(items.DATASETS, DATASET)
    changes: list[Change] = []
    for slug, versions in services.versions.list_many(list(slugs)).items():
        releases = []
        for version in versions:
            body = local_item(
                version,
                request_of(slug),
                base_model,
                dataset,
                _files(services, version),
                knowledge=services.knowledge,
            )
            active = version.stage == "production"
            releases.append(Release(version.number, version.uuid, active, version.number, as_former(body)))
        for item in desired_items(Family(items.LOCAL_MODELS, slug, tuple(releases))):
            changes.append(Change("create", ItemKey(items.LOCAL_MODELS, item["id"]), "published", item))
    services.catalog.apply(ChangeSet(tuple(changes)))


def as_former(item: Item) -> Item:
    """``item`` as a release that knew no newer schema wrote it."""
    properties = {key: value for key, value in item["properties"].items() if key not in DERIVED}
    uris = {uri for uri in item["stac_extensions"] if not uri.startswith(items.SCHEMA_ROOT)}
    return item | {
        "properties": properties | {"fair:schema_version": FORMER},
        "stac_extensions": sorted({*uris, items.schema_uri("local-model", FORMER)}),
    }


def _files(services: Services, version: VersionRecord) -> dict[str, PublishedArtifact]:
    names = {MODEL_ASSET: ONNX_FILENAME, CHECKPOINT_ASSET: CHECKPOINT_FILENAME}
    prefix = folder_of_version(version)
    return {key: services.artifacts.write(version.uuid.encode(), f"{prefix}/{name}") for key, name in names.items()}


def run_partitions() -> None:
    """One run of the backfill, in this process: partitions from and to are in the environment. Prints its peak RSS."""
    from dagster._core.storage.tags import (
        ASSET_PARTITION_RANGE_END_TAG,
        ASSET_PARTITION_RANGE_START_TAG,
        BACKFILL_ID_TAG,
    )

    first, last = (os.environ[name] for name in _RANGE)
    settings = Settings()
    tags = {
        ASSET_PARTITION_RANGE_START_TAG: first,
        ASSET_PARTITION_RANGE_END_TAG: last,
        BACKFILL_ID_TAG: "benchmark",
    }
    with open_instance(settings) as instance:
        job = build_defs(settings=settings).resolve_job_def(keys.publish_job(MODEL))
        job.execute_in_process(instance=instance, tags=tags)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def backfill(settings: Settings, what: str) -> Row:
    """Every partition, a run of ``Settings.partitions_of_run`` at a time, each in a process of its own."""
    with open_instance(settings) as instance:
        ids = list(instance.get_dynamic_partitions(keys.finetunes_name(MODEL)))
    size = settings.partitions_of_run
    batches = [ids[start : start + size] for start in range(0, len(ids), size)]
    start, peak = time.perf_counter(), 0.0
    for number, batch in enumerate(batches, start=1):
        note(f"{what}: run {number} of {len(batches)} …")
        environment = os.environ | settings.environment() | dict(zip(_RANGE, (batch[0], batch[-1]), strict=True))
        done = subprocess.run(
            [sys.executable, "-c", _RUN], env=environment, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-3000:])
        peak = max(peak, float(done.stdout.split()[-1]))
    return {
        "backfill": what,
        "items": len(ids),
        "runs": len(batches),
        "seconds": time.perf_counter() - start,
        "ms an item": (time.perf_counter() - start) / len(ids) * 1000,
        "peak MB of a run": peak,
    }


def measure(families: int, versions: int) -> list[Row]:
    """A row for the first backfill and one for a second that finds nothing to do."""
    with installation() as settings:
        prepare(settings, families, versions)
        rows = [backfill(settings, "from 1.0.0"), backfill(settings, "again")]
        services = Services(settings)
        left = [item["id"] for item in services.catalog.items(items.LOCAL_MODELS) if _version(item) == FORMER]
        if left:
            raise RuntimeError(f"{len(left)} items were left as they were, e.g. {left[0]}")
    return rows


def _version(item: Item) -> str:
    return str(item["properties"]["fair:schema_version"])


@contextmanager
def installation() -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="fair-benchmark-", ignore_cleanup_errors=True) as folder:
        yield Settings(home=Path(folder), catalog="", offline=True)


def report(rows: Sequence[Row], families: int, versions: int) -> Report:
    first = rows[0]
    return Report(
        "backfill",
        [Table(f"{families:,} families of {versions} versions to schema {items.SCHEMA_VERSION}", rows)],
        [
            Budget("backfill of a schema change", first["seconds"], BUDGET_SECONDS, unit="s"),
            Budget("peak memory of its runs", first["peak MB of a run"], BUDGET_MEGABYTES, unit="MB"),
        ],
    )


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--families", type=click.IntRange(min=1), default=250, show_default=True)
@click.option("--versions", type=click.IntRange(min=1), default=4, show_default=True, help="Versions of a family.")
def main(as_json: bool, families: int, versions: int) -> None:
    sys.exit(show(report(measure(families, versions), families, versions), as_json=as_json))


if __name__ == "__main__":
    main()

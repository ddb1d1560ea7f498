"""Backfills as Dagster runs them: many partitions a run, and what its instance says of a raised schema."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    BACKFILL_ID_TAG,
)

from fair_dagster.definitions import build_defs
from fair_dagster.domain import items
from fair_dagster.domain.errors import CatalogError
from fair_dagster.domain.items import migrations
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.orchestration import keys
from tests.flows.publication.former import make_former
from tests.installations import DATASET, MODEL, Installation

ASSET = keys.local_model(MODEL)
IDS = ["alpha-v1", "alpha-v2", "beta-v1"]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp() as found:
        yield found


@pytest.fixture
def published(installation: Installation, instance: dg.DagsterInstance) -> Installation:
    """Two families of schema 1.0.0, and their partitions."""
    for name in ("alpha", "alpha", "beta"):
        installation.promote(installation.trained(name))
    make_former(installation, items.LOCAL_MODELS)
    instance.add_dynamic_partitions(keys.finetunes_name(MODEL), IDS)
    instance.add_dynamic_partitions(keys.DATASETS_PARTITIONS_NAME, [DATASET])
    return installation


def definitions(installation: Installation) -> dg.Definitions:
    fair: Any = SimpleNamespace(services=installation.services)
    return build_defs(
        settings=installation.services.settings,
        resource_overrides={"fair": dg.ResourceDefinition.hardcoded_resource(fair)},
    )


def run(
    installation: Installation,
    instance: dg.DagsterInstance,
    first: str,
    last: str,
    **tags: str,
) -> dg.ExecuteInProcessResult:
    """A run of a backfill over a range of partitions, as the daemon launches it."""
    job = definitions(installation).resolve_job_def(keys.publish_job(MODEL))
    partitions = {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}
    return job.execute_in_process(
        instance=instance, tags=partitions | {BACKFILL_ID_TAG: "backfill"} | tags, raise_on_error=False
    )


def materialized(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetMaterialization]:
    events = result.get_asset_materialization_events()
    found = [event.step_materialization_data.materialization for event in events]
    return {str(event.partition): event for event in found}


def left(installation: Installation) -> Sequence[str]:
    """Ids of the items that follow a former schema."""
    found = installation.services.catalog.items(items.LOCAL_MODELS)
    return [item["id"] for item in found if migrations.is_outdated(item)]


def test_a_run_of_many_partitions_materializes_each_with_its_own_metadata(
    published: Installation, instance: dg.DagsterInstance
) -> None:
    result = run(published, instance, IDS[0], IDS[-1])
    assert result.success
    assert left(published) == []
    events = materialized(result)
    assert set(events) == set(IDS)
    for id_, event in events.items():
        assert str(event.metadata["item"].value).endswith(f"{id_}.json")
        assert {"lineage", "changes", "version"} <= set(event.metadata)
    assert len(result.get_asset_materialization_events()) == len(IDS), "each once"


def test_a_failing_family_fails_the_run_by_name_and_the_others_are_done(
    published: Installation, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = published.services.catalog
    apply = catalog.apply

    def picky(changes: ChangeSet) -> None:
        if any(change.key.id.startswith("alpha") for change in changes.changes):
            raise CatalogError("the disk is full")
        apply(changes)

    monkeypatch.setattr(catalog, "apply", picky)
    result = run(published, instance, IDS[0], IDS[-1])
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "alpha: the disk is full" in str(failure.step_failure_data.error)
    assert set(materialized(result)) == {"beta-v1"}
    assert left(published) == ["alpha-v1", "alpha-v2"]
    monkeypatch.undo()
    assert run(published, instance, IDS[0], IDS[1]).success
    assert left(published) == []


def test_a_backfill_removes_nothing_and_a_single_run_does(
    published: Installation, instance: dg.DagsterInstance
) -> None:
    published.versions.delete_model("beta")
    assert run(published, instance, "beta-v1", "beta-v1").success
    assert "beta-v1" in published.published()
    job = definitions(published).resolve_job_def(keys.publish_job(MODEL))
    assert job.execute_in_process(instance=instance, partition_key="beta-v1").success
    assert "beta-v1" not in published.published()


def test_a_raised_schema_makes_a_partition_stale(
    published: Installation, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def materialize() -> None:
        found = definitions(published).resolve_job_def(keys.publish_job(MODEL))
        assert found.execute_in_process(instance=instance, partition_key=IDS[0]).success

    def status() -> StaleStatus:
        graph = definitions(published).resolve_asset_graph()
        return CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance)).get_status(ASSET, IDS[0])

    materialize()
    assert status() is StaleStatus.FRESH
    monkeypatch.setattr(items, "SCHEMA_VERSION", "1.2.0")
    assert status() is StaleStatus.STALE


def test_datasets_are_published_again_in_one_run(published: Installation, instance: dg.DagsterInstance) -> None:
    published.register_dataset("village")
    instance.add_dynamic_partitions(keys.DATASETS_PARTITIONS_NAME, ["village", "nowhere"])
    make_former(published, items.DATASETS)
    job = definitions(published).resolve_job_def(keys.DATASETS_JOB)
    tags = {ASSET_PARTITION_RANGE_START_TAG: DATASET, ASSET_PARTITION_RANGE_END_TAG: "nowhere"}
    result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
    assert not result.success, "one partition has no item"
    assert set(materialized(result)) == {DATASET, "village"}
    tags[ASSET_PARTITION_RANGE_END_TAG] = "village"
    again = job.execute_in_process(instance=instance, tags=tags)
    assert set(materialized(again)) == {DATASET, "village"}
    assert not any(map(migrations.is_outdated, published.services.catalog.items(items.DATASETS)))

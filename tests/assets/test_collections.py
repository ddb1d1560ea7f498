"""The collection assets and their checks on a Dagster instance: report, repair, partitions, schedule."""

import json
from pathlib import Path

import dagster as dg
import pytest

from fair_dagster.definitions import build_defs
from fair_dagster.domain import items
from fair_dagster.domain.items.stac import ItemKey
from fair_dagster.flows.publication.released import RELEASE_FILE
from fair_dagster.orchestration import keys, run_config
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.settings import Settings
from tests.installations import DATASET, MODEL, NAME, Installation


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


@pytest.fixture
def promoted(
    installation: Installation,
    instance: dg.DagsterInstance,
) -> Installation:
    version = installation.trained()
    installation.promote(version)
    instance.add_dynamic_partitions(keys.DATASETS_PARTITIONS_NAME, [DATASET])
    instance.add_dynamic_partitions(keys.finetunes_name(MODEL), [version.id])
    return installation


def refreshed(installation: Installation, instance: dg.DagsterInstance, *, repair: bool) -> dg.ExecuteInProcessResult:
    class Fake(FairResource):
        @property
        def services(self):  # type: ignore[no-untyped-def, override]
            return installation.services

    definitions = build_defs(settings=installation.services.settings, resource_overrides={"fair": Fake()})
    job = definitions.resolve_job_def(keys.COLLECTIONS_JOB)
    return job.execute_in_process(run_config=run_config.configure_collections(repair=repair), instance=instance)


def drift_checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    found = result.get_asset_check_evaluations()
    return {one.asset_key.path[-1]: one for one in found if one.check_name == "drift"}


def kinds_of(check: dg.AssetCheckEvaluation) -> set[str]:
    return {str(record.data["kind"]) for record in check.metadata["drift"].records}  # type: ignore[union-attr]


def test_a_run_reports_and_changes_nothing_unless_told_to_repair(
    promoted: Installation, instance: dg.DagsterInstance
) -> None:
    path = Path(promoted.services.catalog.href(ItemKey(items.LOCAL_MODELS, f"{NAME}-v1")))
    path.write_text("{")
    check = drift_checks(refreshed(promoted, instance, repair=False))["local_models"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "damaged" in kinds_of(check)
    assert path.read_text() == "{"
    checks = drift_checks(refreshed(promoted, instance, repair=True))
    assert all(check.passed for check in checks.values()), checks
    assert promoted.published() == {f"{NAME}-v1": True}


def test_a_document_is_told_before_it_is_written_anew(promoted: Installation, instance: dg.DagsterInstance) -> None:
    path = promoted.services.settings.home / "catalog" / items.DATASETS / "collection.json"
    path.unlink()
    checks = drift_checks(refreshed(promoted, instance, repair=False))
    assert kinds_of(checks["datasets"]) == {"document"}
    assert path.exists()
    assert drift_checks(refreshed(promoted, instance, repair=False))["datasets"].passed


@pytest.mark.parametrize("repair", [True, False])
def test_a_lost_item_that_nothing_else_names_is_told_by_every_run(
    promoted: Installation, instance: dg.DagsterInstance, repair: bool
) -> None:
    promoted.register_dataset(title="Another")
    for kept in promoted.services.settings.artifacts_path.rglob(RELEASE_FILE):
        kept.unlink()
    Path(promoted.services.catalog.href(ItemKey(items.DATASETS, f"{DATASET}-v1"))).unlink()
    for _ in range(2):
        check = drift_checks(refreshed(promoted, instance, repair=repair))["datasets"]
        assert "missing" in kinds_of(check)


def test_the_loss_of_an_item_is_accepted_by_taking_out_its_link(
    promoted: Installation, instance: dg.DagsterInstance
) -> None:
    promoted.register_dataset(title="Another")
    for kept in promoted.services.settings.artifacts_path.rglob(RELEASE_FILE):
        kept.unlink()
    lost = Path(promoted.services.catalog.href(ItemKey(items.DATASETS, f"{DATASET}-v1")))
    lost.unlink()
    path = lost.parents[1] / "collection.json"
    document = json.loads(path.read_text())
    document["links"] = [link for link in document["links"] if f"{DATASET}-v1" not in link["href"]]
    path.write_text(json.dumps(document))
    refreshed(promoted, instance, repair=True)
    assert drift_checks(refreshed(promoted, instance, repair=True))["datasets"].passed


def test_a_broken_link_is_told_once(promoted: Installation, instance: dg.DagsterInstance) -> None:
    for kept in promoted.services.settings.artifacts_path.rglob(RELEASE_FILE):
        kept.unlink()
    Path(promoted.services.catalog.href(ItemKey(items.DATASETS, DATASET))).unlink()
    found = refreshed(promoted, instance, repair=False).get_asset_check_evaluations()
    of_models = {one.check_name: one for one in found if one.asset_key.path[-1] == items.LOCAL_MODELS.replace("-", "_")}
    assert of_models["valid"].passed
    assert "broken link" in kinds_of(of_models["drift"])


def test_a_repair_that_nobody_watches_removes_nothing_when_zenml_has_none_of_the_versions(
    promoted: Installation, instance: dg.DagsterInstance
) -> None:
    for _ in range(3):
        promoted.promote(promoted.trained())
    before = promoted.published()
    assert len(before) == 4
    promoted.versions.delete_model(NAME)
    result = refreshed(promoted, instance, repair=True)
    assert promoted.published() == before
    assert kinds_of(drift_checks(result)["local_models"]) >= {"orphaned"}


def test_partitions_follow_a_repair(promoted: Installation, instance: dg.DagsterInstance) -> None:
    instance.delete_dynamic_partition(keys.finetunes_name(MODEL), f"{NAME}-v1")
    instance.add_dynamic_partitions(keys.DATASETS_PARTITIONS_NAME, ["gone"])
    before = drift_checks(refreshed(promoted, instance, repair=False))
    assert [name for name, check in sorted(before.items()) if not check.passed] == ["datasets", "local_models"]
    assert all(check.passed for check in drift_checks(refreshed(promoted, instance, repair=True)).values())
    assert instance.get_dynamic_partitions(keys.finetunes_name(MODEL)) == [f"{NAME}-v1"]
    assert instance.get_dynamic_partitions(keys.DATASETS_PARTITIONS_NAME) == [DATASET]


def test_one_repair_takes_the_partition_of_a_deleted_version_with_its_item(
    promoted: Installation, instance: dg.DagsterInstance
) -> None:
    promoted.versions.delete(NAME, 1)
    assert all(check.passed for check in drift_checks(refreshed(promoted, instance, repair=True)).values())
    assert instance.get_dynamic_partitions(keys.finetunes_name(MODEL)) == []
    assert promoted.published() == {}


def test_a_missing_dataset_is_restored_and_keeps_its_partition(
    promoted: Installation, instance: dg.DagsterInstance
) -> None:
    Path(promoted.services.catalog.href(ItemKey(items.DATASETS, DATASET))).unlink()
    assert all(check.passed for check in drift_checks(refreshed(promoted, instance, repair=True)).values())
    assert instance.get_dynamic_partitions(keys.DATASETS_PARTITIONS_NAME) == [DATASET]


@pytest.mark.parametrize("repair", [True, False])
def test_the_schedule_runs_by_itself_and_repairs_as_the_settings_say(tmp_path: Path, repair: bool) -> None:
    settings = Settings(home=tmp_path, models=tmp_path / "models", reconcile_repair=repair)
    schedule = build_defs(settings=settings).resolve_schedule_def(keys.RECONCILIATION_SCHEDULE)
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    with dg.build_schedule_context() as context:
        (request,) = schedule.evaluate_tick(context).run_requests or ()
    assert request.run_config == run_config.configure_collections(repair=repair)

"""A repair removes nothing that may be the only copy, trusts no source that differs, and stops at nothing alone."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import dagster as dg
import pytest

from fair_dagster.domain import items
from fair_dagster.domain.errors import ServiceError
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.findings import Finding, Partitions
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.flows import items as item_flow
from fair_dagster.flows.publication import families
from fair_dagster.flows.reconciliation.repair import repair
from fair_dagster.flows.reconciliation.report import DriftRequest, report
from fair_dagster.orchestration.keys import finetunes_name
from fair_dagster.orchestration.reconciliation import reconcile
from tests.flows.reconciliation.drifting import aged, altered, files_of, found, kinds, path_of, repaired, snapshot
from tests.installations import DATASET, MODEL, NAME, Installation


def without_zenml(installation: Installation) -> None:
    for method in ("list", "list_many"):
        installation.versions.broken[method] = ServiceError("nobody answers")


def test_artifacts_of_an_item_that_cannot_be_restored_stay(promoted: Installation, tmp_path: Path) -> None:
    root = aged(promoted)
    before = files_of(root)
    path_of(promoted, items.LOCAL_MODELS, f"{NAME}-v2").unlink()
    shutil.rmtree(tmp_path / "zenml")
    for _ in range(2):
        repair(promoted.services, found(promoted))
    assert files_of(root) == before


def test_artifacts_of_models_stay_where_the_catalog_is_lost_and_zenml_is_silent(promoted: Installation) -> None:
    root = aged(promoted)
    before = files_of(root)
    shutil.rmtree(promoted.services.settings.catalog_path)
    without_zenml(promoted)
    repair(promoted.services, found(promoted))
    assert before <= files_of(root)


def test_an_unused_folder_stays_while_another_item_of_its_family_is_lost(
    promoted: Installation, tmp_path: Path
) -> None:
    folder = promoted.services.settings.artifacts_path / items.LOCAL_MODELS / NAME / "v9-deadbeef"
    folder.mkdir()
    aged(promoted)
    path_of(promoted, items.LOCAL_MODELS, f"{NAME}-v2").unlink()
    shutil.rmtree(tmp_path / "zenml")
    done = repair(promoted.services, found(promoted))
    assert folder.is_dir()
    assert any(one.failed and "is kept" in one.reason for one in done)


@pytest.mark.parametrize("is_refreshed", [True, False])
@pytest.mark.parametrize("is_kept", [True, False])
def test_a_release_that_lost_its_item_keeps_its_folder(
    promoted: Installation, is_kept: bool, is_refreshed: bool
) -> None:
    promoted.register_dataset(title="Another")
    root = aged(promoted)
    if not is_kept:
        for path in root.rglob(".release.json"):
            path.unlink()
    aged(promoted)
    before = files_of(root)
    path_of(promoted, items.DATASETS, f"{DATASET}-v1").unlink()
    if is_refreshed:
        promoted.services.catalog.refresh(items.DATASETS)
    assert (f"{DATASET}-v1", "missing") in kinds(promoted)
    for _ in range(3):
        repair(promoted.services, found(promoted))
    assert before <= files_of(root)
    assert (f"{DATASET}-v1" in promoted.published(items.DATASETS)) == is_kept


def test_a_folder_of_a_dataset_whose_number_another_release_bears_is_removed(promoted: Installation) -> None:
    folder = promoted.services.settings.artifacts_path / items.DATASETS / DATASET / "v1-deadbeef"
    folder.mkdir()
    aged(promoted)
    repaired(promoted)
    assert not folder.exists()


def test_what_somebody_laid_beside_the_releases_is_none_of_ours(promoted: Installation) -> None:
    family = promoted.services.settings.artifacts_path / items.LOCAL_MODELS / NAME
    (family / "NOTES.txt").write_text("mine")
    (family / "backup").mkdir()
    aged(promoted)
    assert found(promoted) == []


def test_a_folder_that_cannot_be_removed_is_told_and_ends_nothing(
    promoted: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    (promoted.services.settings.artifacts_path / items.LOCAL_MODELS / NAME / "v9-deadbeef").mkdir()
    aged(promoted)
    altered(path_of(promoted, items.DATASETS, DATASET), lambda item: item["properties"].update(license="none of ours"))

    def refuse(_path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    done = repair(promoted.services, found(promoted))
    assert [(one.item, one.failed) for one in done] == [(DATASET, False), (NAME, True)]
    assert "Permission denied" in done[-1].reason


def test_a_corrupt_source_is_not_published(promoted: Installation, tmp_path: Path) -> None:
    before = snapshot(promoted)
    model = Path(promoted.active(items.LOCAL_MODELS, NAME)["assets"]["model"]["href"])
    model.write_bytes(b"bad")
    for path in (tmp_path / "zenml").rglob("*.onnx"):
        path.write_bytes(b"also bad")
    (done,) = repair(promoted.services, found(promoted))
    assert (done.failed, "differs from what the item says" in done.reason) == (True, True)
    assert model.read_bytes() == b"bad"
    assert snapshot(promoted) == before
    assert kinds(promoted) == {(f"{NAME}-v2", "changed artifact")}


def test_a_corrupt_source_is_not_published_by_the_next_promotion(promoted: Installation, tmp_path: Path) -> None:
    assets = promoted.active(items.LOCAL_MODELS, NAME)["assets"]
    Path(assets["model"]["href"]).unlink()
    for path in (tmp_path / "zenml").rglob("*.onnx"):
        path.write_bytes(b"bad")
    promoted.promote(promoted.versions.get(NAME, 2))
    assert promoted.active(items.LOCAL_MODELS, NAME)["assets"] == assets
    assert (f"{NAME}-v2", "missing artifact") in kinds(promoted)


def test_a_folder_that_stays_on_the_disk_fails_no_recompute(
    promoted: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    promoted.versions.delete(NAME, 1)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", refuse)
        families.recompute(promoted.services, NAME)
    assert list(promoted.published()) == [f"{NAME}-v2"]
    aged(promoted)
    assert (NAME, "removed") in {(one.item, one.action) for one in repaired(promoted)}


def test_an_item_that_is_wrong_about_its_artifact_describes_it_anew(promoted: Installation) -> None:
    before = snapshot(promoted)

    def other_checksum(item: Item) -> None:
        item["assets"]["model"]["file:checksum"] = "1220" + "0" * 64

    altered(path_of(promoted, items.LOCAL_MODELS, f"{NAME}-v2"), other_checksum)
    repaired(promoted)
    assert snapshot(promoted) == before


def test_one_artifact_without_a_source_keeps_no_other_from_being_copied(promoted: Installation, tmp_path: Path) -> None:
    assets = promoted.active(items.LOCAL_MODELS, NAME)["assets"]
    for name in ("model", "checkpoint"):
        Path(assets[name]["href"]).unlink()
    shutil.rmtree(promoted.versions.get(NAME, 2).artifacts["onnx_model"])
    done = repair(promoted.services, found(promoted))
    assert [(one.action, one.failed) for one in done] == [("copied", False), ("not repaired", True)]
    assert Path(assets["checkpoint"]["href"]).is_file()


def test_a_file_of_another_model_is_not_overwritten(promoted: Installation) -> None:
    other = promoted.services.settings.artifacts_path / items.BASE_MODELS / "other" / "v1-deadbeef" / "folder"
    other.mkdir(parents=True)
    (other / "pipeline.py").write_text("of another model")
    for path in promoted.services.settings.artifacts_path.rglob(".release.json"):
        path.unlink()

    def elsewhere(item: Item) -> None:
        item["assets"]["source-code"]["href"] = str(other)

    altered(path_of(promoted, items.BASE_MODELS, MODEL), elsewhere)
    done = repair(promoted.services, found(promoted))
    assert (other / "pipeline.py").read_text() == "of another model"
    assert any(one.failed and "outside the folder" in one.reason for one in done)


def test_a_former_release_is_copied_again_from_an_older_checkout(promoted: Installation) -> None:
    folder = promoted.services.settings.repository_path / "commits" / "abc" / "models" / promoted.folder.name
    shutil.copytree(promoted.folder, folder)
    (promoted.folder / "README.md").write_text("another release")
    promoted.register_base_model()
    former = item_flow.find(promoted.services.catalog, f"{MODEL}-v1")
    code = Path(former["assets"]["source-code"]["href"])
    (code / "pipeline.py").write_text("changed")
    repaired(promoted)
    shutil.rmtree(folder)
    (code / "pipeline.py").write_text("changed")
    (done,) = repair(promoted.services, found(promoted))
    assert "holds another version or none" in done.reason


@pytest.mark.parametrize("item_id", [f"{NAME}-v2", DATASET])
def test_an_artifact_that_cannot_be_read_is_one_finding(promoted: Installation, item_id: str) -> None:
    collection = items.DATASETS if item_id == DATASET else items.LOCAL_MODELS

    def unreadable(item: Item) -> None:
        item["assets"]["mine"] = {"href": "/proc/self/mem", "file:size": 0, "file:checksum": "1220aa"}

    altered(path_of(promoted, collection, item_id), unreadable)
    (finding,) = found(promoted)
    assert (finding.item, finding.kind, "cannot be read" in finding.detail) == (item_id, "not checked", True)


def test_zenml_failing_midway_is_a_finding_of_the_families_it_hides(
    promoted: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered(path_of(promoted, items.LOCAL_MODELS, f"{NAME}-v2"), lambda item: item["properties"].update(license="x"))
    altered(path_of(promoted, items.DATASETS, DATASET), lambda item: item["properties"].update(license="x"))
    answer = _once_then_silent(promoted.versions.list_many)
    monkeypatch.setattr(promoted.versions, "list_many", answer)
    told = kinds(promoted)
    assert {(NAME, "not checked"), (DATASET, "altered")} <= told


Reading = Callable[[Sequence[str]], dict[str, list[VersionRecord]]]


def _once_then_silent(read: Reading) -> Reading:
    calls: list[Sequence[str]] = []

    def answer(names: Sequence[str]) -> dict[str, list[VersionRecord]]:
        calls.append(names)
        if len(calls) > 1:
            raise ServiceError("went away")
        return read(names)

    return answer


def test_a_family_that_cannot_be_judged_keeps_no_other_from_being_repaired(promoted: Installation) -> None:
    promoted.register_dataset("village")
    (kept,) = (promoted.services.settings.artifacts_path / items.DATASETS / DATASET).rglob(".release.json")
    kept.unlink()
    kept.mkdir()
    altered(path_of(promoted, items.DATASETS, "village"), lambda item: item["properties"].update(license="x"))
    assert [(one.item, one.action) for one in repair(promoted.services, found(promoted))] == [("village", "update")]
    shutil.rmtree(promoted.services.settings.catalog_path / items.DATASETS / DATASET)
    assert (DATASET, "not checked") in kinds(promoted)


def test_a_lost_catalog_has_the_newest_release_active_again(promoted: Installation) -> None:
    promoted.register_dataset(title="Another")
    before = promoted.published(items.DATASETS)
    shutil.rmtree(promoted.services.settings.catalog_path)
    repair(promoted.services, found(promoted))
    assert promoted.published(items.DATASETS) == before
    assert promoted.active(items.DATASETS, DATASET)["properties"]["version"] == "2"


def test_an_item_without_assets_is_damaged_and_restored(promoted: Installation) -> None:
    before = snapshot(promoted)
    altered(path_of(promoted, items.LOCAL_MODELS, f"{NAME}-v2"), lambda item: item.pop("assets"))
    repaired(promoted)
    after = snapshot(promoted)
    for item in (before, after):
        item[f"{items.LOCAL_MODELS}/{NAME}-v2"]["properties"].pop("created", None)
    assert after == before


@pytest.mark.parametrize("patched", [[{}], [1, "properties.title"], "title"])
def test_patched_fields_that_are_no_texts_end_no_report(promoted: Installation, patched: object) -> None:
    path = path_of(promoted, items.DATASETS, DATASET)
    altered(path, lambda item: item["properties"].update({"fair:patched": patched}))
    assert (DATASET, "damaged") in kinds(promoted)
    repaired(promoted)


def test_the_partition_of_a_version_that_was_deleted_is_told_with_its_item(promoted: Installation) -> None:
    promoted.versions.delete(NAME, 1)
    keys = frozenset({f"{NAME}-v1", f"{NAME}-v2"})
    ask = DriftRequest(partitions=Partitions(frozenset({DATASET}), {MODEL: keys}))
    assert {(f"{NAME}-v1", "orphaned"), (f"{NAME}-v1", "partition without item")} <= kinds(promoted, ask)
    path_of(promoted, items.LOCAL_MODELS, f"{NAME}-v1").write_text("{")
    assert (f"{NAME}-v1", "partition without item") in kinds(promoted, ask)


def test_a_dataset_whose_item_is_missing_keeps_its_partition(promoted: Installation) -> None:
    path_of(promoted, items.DATASETS, DATASET).unlink()
    ask = DriftRequest(collections=[items.DATASETS], partitions=Partitions(frozenset({DATASET})))
    assert {kind for _, kind in kinds(promoted, ask)} >= {"missing"}
    assert (DATASET, "partition without item") not in kinds(promoted, ask)


@pytest.mark.parametrize(("item_id", "is_kept"), [(f"{NAME}-v1", True), (f"{NAME}-v7", False)])
def test_a_partition_stays_while_its_item_does(promoted: Installation, item_id: str, is_kept: bool) -> None:
    finding = Finding(items.LOCAL_MODELS, item_id, "partition without item", "as it was when asked", target=MODEL)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(finetunes_name(MODEL), [item_id])
        reconcile(promoted.services, instance, [finding])
        assert instance.get_dynamic_partitions(finetunes_name(MODEL)) == [item_id] * is_kept


def test_the_document_of_the_catalog_is_told_once(promoted: Installation) -> None:
    (promoted.services.settings.catalog_path / "catalog.json").unlink()
    (finding,) = found(promoted)
    assert finding.detail == "catalog.json: it is gone"
    assert len(repaired(promoted)) == 1


def test_a_document_that_differs_in_two_ways_is_rewritten_once(promoted: Installation) -> None:
    path = promoted.services.settings.catalog_path / items.DATASETS / "collection.json"
    document = json.loads(path.read_text())
    document["links"] = [link for link in document["links"] if link["rel"] != "item"]
    document["extent"]["spatial"]["bbox"] = [[0, 0, 1, 1]]
    path.write_text(json.dumps(document))
    assert len(found(promoted)) > 1
    (done,) = repaired(promoted)
    assert (done.action, done.reason.count("collection.json")) == ("document", 1)


def test_a_collection_that_still_names_a_lost_item_is_not_rewritten(promoted: Installation) -> None:
    path_of(promoted, items.LOCAL_MODELS, f"{NAME}-v1").unlink()
    without_zenml(promoted)
    (done,) = repair(promoted.services, found(promoted))
    assert (done.failed, f"{NAME}-v1" in done.reason) == (True, True)
    assert promoted.services.catalog.listed(items.LOCAL_MODELS) == [f"{NAME}-v1", f"{NAME}-v2"]
    promoted.versions.broken.clear()
    repaired(promoted)
    assert f"{NAME}-v1" in promoted.published()


def test_only_collections_that_were_asked_for_are_rewritten(promoted: Installation) -> None:
    for collection in (items.DATASETS, items.LOCAL_MODELS):
        path = promoted.services.settings.catalog_path / collection / "collection.json"
        document = json.loads(path.read_text())
        document["keywords"] = ["altered"]
        path.write_text(json.dumps(document))
    repair(promoted.services, report(promoted.services, DriftRequest([items.DATASETS])))
    assert {one.collection for one in found(promoted)} == {items.LOCAL_MODELS}

"""Drift: what the report finds, that a repair restores it, and that a second repair has nothing to do."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fair_dagster.catalog.json import index
from fair_dagster.domain import items
from fair_dagster.domain.errors import CatalogError, ServiceError
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.domain.publication.findings import Partitions
from fair_dagster.flows import items as item_flow
from fair_dagster.flows.publication import families, patching
from fair_dagster.flows.reconciliation.repair import repair
from fair_dagster.flows.reconciliation.report import DriftRequest
from tests.flows.reconciliation.drifting import altered, found, kinds, path_of, repaired, snapshot
from tests.installations import DATASET, MODEL, NAME, Installation


def no_box(item: Item) -> None:
    item["bbox"] = ["west"]


ACTIVE = (
    (items.BASE_MODELS, MODEL),
    (items.DATASETS, DATASET),
    (items.LOCAL_MODELS, f"{NAME}-v1"),
    (items.LOCAL_MODELS, f"{NAME}-v2"),
)


def test_a_catalog_that_is_as_it_should_be_has_no_findings(promoted: Installation) -> None:
    assert found(promoted) == []


@pytest.mark.parametrize(("collection", "item_id"), ACTIVE)
def test_a_truncated_item_is_found_and_restored(promoted: Installation, collection: str, item_id: str) -> None:
    before = snapshot(promoted)
    path = path_of(promoted, collection, item_id)
    path.write_text(path.read_text()[:200])
    assert (item_id, "damaged") in kinds(promoted)
    repaired(promoted)
    after = snapshot(promoted)
    for item in (before, after):
        item[f"{collection}/{item_id}"]["properties"].pop("created", None)
    assert after == before


@pytest.mark.parametrize(("collection", "item_id"), ACTIVE)
def test_an_item_that_was_deleted_by_hand_is_found_and_restored(
    promoted: Installation, collection: str, item_id: str
) -> None:
    before = snapshot(promoted)
    path_of(promoted, collection, item_id).unlink()
    assert (item_id, "missing") in kinds(promoted)
    repaired(promoted)
    after = snapshot(promoted)
    for item in (before, after):
        item[f"{collection}/{item_id}"]["properties"].pop("created", None)
    assert after == before


@pytest.mark.parametrize(("collection", "item_id"), ACTIVE)
def test_managed_fields_are_set_anew_and_users_fields_stay(
    promoted: Installation, collection: str, item_id: str
) -> None:
    patching.patch(promoted.services, item_id, {"properties": {"title": "Ours", "fair:pinned": True}})
    before = snapshot(promoted)
    path = path_of(promoted, collection, item_id)
    altered(path, lambda item: item["properties"].update({"license": "none of ours", "keywords": ["changed"]}))
    # What the collection document sums up follows, and what children inherit.
    (finding,) = [one for one in found(promoted) if one.item == item_id]
    assert finding.kind == "altered"
    assert "properties.keywords" in finding.detail
    repaired(promoted)
    assert snapshot(promoted) == before
    assert snapshot(promoted)[f"{collection}/{item_id}"]["properties"]["title"] == "Ours"


def test_a_version_that_was_hidden_by_hand_is_shown_again(promoted: Installation) -> None:
    altered(path_of(promoted, items.BASE_MODELS, MODEL), lambda item: item["properties"].update(deprecated=True))
    assert kinds(promoted) == {(MODEL, "altered")}
    repaired(promoted)
    assert items.is_active(promoted.active(items.BASE_MODELS, MODEL))


def test_a_former_release_keeps_its_own_content(promoted: Installation) -> None:
    (promoted.folder / "README.md").write_text("another release")
    promoted.register_base_model()
    before = snapshot(promoted)
    assert found(promoted) == []
    former = path_of(promoted, items.BASE_MODELS, f"{MODEL}-v1")
    former.write_text("{")
    path_of(promoted, items.BASE_MODELS, MODEL).write_text("")
    repaired(promoted)
    after = snapshot(promoted)
    assert after.keys() == before.keys()
    assert [after[key]["properties"]["fair:digest"] for key in after if "base-models" in key] == [
        before[key]["properties"]["fair:digest"] for key in before if "base-models" in key
    ]


def test_an_active_release_is_restored_although_the_collection_document_is_gone_too(promoted: Installation) -> None:
    (promoted.folder / "README.md").write_text("another release")
    promoted.register_base_model()
    before = snapshot(promoted)
    path = path_of(promoted, items.BASE_MODELS, MODEL)
    path.unlink()
    (path.parents[1] / "collection.json").unlink()
    repaired(promoted)
    after = snapshot(promoted)
    for item in (before, after):
        item[f"{items.BASE_MODELS}/{MODEL}"]["properties"].pop("created", None)
    assert after == before


def test_an_outdated_item_is_a_warning_and_migrated(promoted: Installation) -> None:
    def to_the_first_schema(item: Item) -> None:
        item["properties"]["fair:schema_version"] = "1.0.0"
        item["properties"].pop("fair:coverage")

    altered(path_of(promoted, items.DATASETS, DATASET), to_the_first_schema)
    (finding,) = found(promoted)
    assert (finding.kind, finding.is_error) == ("outdated", False)
    repaired(promoted)


def test_an_orphaned_item_is_removed_with_its_artifacts(promoted: Installation) -> None:
    promoted.versions.delete(NAME, 1)
    assert (f"{NAME}-v1", "orphaned") in kinds(promoted)
    repaired(promoted)
    assert list(promoted.published()) == [f"{NAME}-v2"]
    assert len(promoted.artifacts(items.LOCAL_MODELS)) == 1


def test_an_artifact_that_another_item_uses_outlives_its_own_item(promoted: Installation) -> None:
    first = promoted.services.catalog.get(ItemKey(items.LOCAL_MODELS, f"{NAME}-v1"))
    assert first is not None
    href = first["assets"]["model"]["href"]
    patching.patch(promoted.services, DATASET, {"assets": {"example": {"href": href, "title": "Drawn from here"}}})
    promoted.versions.delete(NAME, 1)
    repaired(promoted)
    assert Path(href).is_file()


def test_a_number_that_is_used_again_becomes_the_item_of_the_new_version(promoted: Installation) -> None:
    promoted.versions.delete(NAME, 2)
    again = promoted.trained()
    families.set_stage(promoted.services, NAME, again.number, "production")
    assert again.id == f"{NAME}-v2"
    (finding,) = [one for one in found(promoted) if one.item == again.id]
    assert (finding.kind, again.uuid in finding.detail) == ("orphaned", True)
    repaired(promoted)
    assert promoted.active(items.LOCAL_MODELS, NAME)["properties"]["fair:zenml_version_id"] == again.uuid


def test_without_zenml_nothing_is_orphaned_and_nothing_removed(promoted: Installation) -> None:
    before = snapshot(promoted)
    promoted.versions.broken["list_many"] = ServiceError("nobody answers")
    (finding,) = found(promoted)
    assert (finding.kind, "nobody answers" in finding.detail) == ("not checked", True)
    repair(promoted.services, [finding])
    assert snapshot(promoted) == before


def test_a_version_that_cannot_be_published_is_one_finding_and_stops_nobody(promoted: Installation) -> None:
    foreign = promoted.versions.create("made-elsewhere")
    promoted.versions.set_stage("made-elsewhere", foreign.number, "production")
    path_of(promoted, items.LOCAL_MODELS, f"{NAME}-v1").unlink()
    findings = found(promoted)
    assert {(one.item, one.kind) for one in findings if one.family == "made-elsewhere"} == {
        ("made-elsewhere-v1", "unpublishable")
    }
    repair(promoted.services, findings)
    assert len(promoted.published()) == 2


def test_a_model_whose_base_model_is_gone_is_told_and_kept(promoted: Installation) -> None:
    key = ItemKey(items.BASE_MODELS, MODEL)
    promoted.services.catalog.apply(ChangeSet((Change("delete", key, "by mistake"),)))
    told = kinds(promoted)
    assert (f"{NAME}-v2", "broken link") in told
    assert (f"{NAME}-v2", "unpublishable") in told
    repair(promoted.services, found(promoted))
    assert found(promoted) == []


def test_a_collection_document_that_was_deleted_is_restored_with_all_links(promoted: Installation) -> None:
    (path_of(promoted, items.LOCAL_MODELS, "x").parent.parent / "collection.json").unlink()
    assert kinds(promoted) == {("", "document")}
    repaired(promoted)
    assert promoted.services.catalog.listed(items.LOCAL_MODELS) == [f"{NAME}-v1", f"{NAME}-v2"]


@pytest.mark.parametrize("asset", ["model", "training-config"])
@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(p.read_bytes()[::-1])])
def test_an_artifact_of_a_promoted_version_is_copied_again(
    promoted: Installation, asset: str, damage: Callable[[Path], object]
) -> None:
    before = snapshot(promoted)
    item = promoted.active(items.LOCAL_MODELS, NAME)
    path = Path(item["assets"][asset]["href"])
    content = path.read_bytes()
    damage(path)
    assert kinds(promoted) <= {(item["id"], "missing artifact"), (item["id"], "changed artifact")}
    repaired(promoted)
    assert path.read_bytes() == content
    assert snapshot(promoted) == before


def test_sizes_alone_do_not_tell_a_change_within(promoted: Installation) -> None:
    path = Path(promoted.active(items.LOCAL_MODELS, NAME)["assets"]["model"]["href"])
    path.write_bytes(path.read_bytes()[::-1])
    assert found(promoted, DriftRequest(checksums=False)) == []
    assert found(promoted)


def test_a_changed_artifact_without_a_source_is_left_as_it_is(promoted: Installation) -> None:
    item = promoted.active(items.LOCAL_MODELS, NAME)
    path = Path(item["assets"]["model"]["href"])
    path.write_bytes(b"something else")
    source = Path(promoted.versions.get(NAME, 2).artifacts["onnx_model"])
    for file in source.iterdir():
        file.unlink()
    (done,) = [one for one in repair(promoted.services, found(promoted)) if one.failed]
    assert "ZenML holds none" in done.reason
    assert path.read_bytes() == b"something else"


def test_code_of_a_base_model_is_copied_again_while_the_folder_is_the_released_one(promoted: Installation) -> None:
    item = promoted.active(items.BASE_MODELS, MODEL)
    code = Path(item["assets"]["source-code"]["href"])
    file = code / "pipeline.py" if code.is_dir() else code
    file.write_text("changed")
    (finding,) = [one for one in found(promoted) if one.kind == "changed artifact"]
    assert finding.item == MODEL
    repaired(promoted)
    file.write_text("changed")
    (promoted.folder / "README.md").write_text("another release")
    assert any("another version" in one.reason for one in repair(promoted.services, found(promoted)) if one.failed)


def test_a_dataset_artifact_is_told_with_what_to_do(promoted: Installation) -> None:
    labels = Path(promoted.active(items.DATASETS, DATASET)["assets"]["labels"]["href"])
    labels.unlink()
    (finding,) = found(promoted)
    assert (finding.kind, finding.repair) == ("missing artifact", "")
    assert "put the file back" in finding.detail


def test_an_artifact_folder_without_an_item_is_removed_when_it_is_old(promoted: Installation) -> None:
    folder = promoted.services.settings.artifacts_path / items.LOCAL_MODELS / NAME / "v9-deadbeef"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"half")
    assert found(promoted) == []
    for path in (folder / "model.onnx", folder):
        os.utime(path, times=(time.time() - 7200, time.time() - 7200))
    (finding,) = found(promoted)
    assert (finding.kind, finding.is_error) == ("unused artifact", False)
    repaired(promoted)
    assert not folder.exists()


def test_partitions_are_compared_with_items_and_versions(promoted: Installation) -> None:
    in_training = promoted.versions.create(NAME)
    partitions = Partitions(
        datasets=frozenset({"gone"}),
        finetunes={MODEL: frozenset({f"{NAME}-v1", f"{NAME}-v7", in_training.id})},
    )
    assert kinds(promoted, DriftRequest(partitions=partitions)) == {
        ("gone", "partition without item"),
        (DATASET, "item without partition"),
        (f"{NAME}-v7", "partition without item"),
        (f"{NAME}-v2", "item without partition"),
    }


def test_a_promotion_in_a_family_with_a_damaged_item_names_the_command(promoted: Installation) -> None:
    path_of(promoted, items.LOCAL_MODELS, f"{NAME}-v1").write_text("{")
    with pytest.raises(CatalogError, match="fair-dagster catalog reconcile --repair"):
        promoted.promote(promoted.versions.get(NAME, 2))


def test_a_damaged_item_is_replaced_in_one_write_and_never_absent(
    promoted: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_of(promoted, items.LOCAL_MODELS, f"{NAME}-v1")
    path.write_text("{")
    catalog, applied = promoted.services.catalog, []
    apply = catalog.apply
    monkeypatch.setattr(catalog, "apply", lambda changes: (applied.append(changes), apply(changes)))
    repaired(promoted)
    (changes,) = applied
    (change,) = changes.changes
    assert (change.action, change.key.id) == ("update", f"{NAME}-v1")
    assert [copy.read_text() for copy in (path.parents[2] / ".damaged").iterdir()] == ["{"]


def test_a_damaged_item_that_was_repaired_meanwhile_is_not_overwritten(
    promoted: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_of(promoted, items.LOCAL_MODELS, f"{NAME}-v1")
    whole = json.loads(path.read_text())
    whole["properties"]["title"] = "Put back by somebody, with their title"
    path.write_text("{")
    findings = found(promoted)
    catalog = promoted.services.catalog
    apply = catalog.apply

    def after_somebody(changes: ChangeSet) -> None:
        monkeypatch.setattr(catalog, "apply", apply)
        path.write_text(json.dumps(whole))
        apply(changes)

    monkeypatch.setattr(catalog, "apply", after_somebody)
    repair(promoted.services, findings)
    assert (
        item_flow.find(promoted.services.catalog, f"{NAME}-v1")["properties"]["title"] == whole["properties"]["title"]
    )


def test_a_damaged_item_of_a_deleted_version_is_removed(promoted: Installation) -> None:
    path_of(promoted, items.LOCAL_MODELS, f"{NAME}-v1").write_text("{")
    promoted.versions.delete(NAME, 1)
    repair(promoted.services, found(promoted))
    assert list(promoted.published()) == [f"{NAME}-v2"]
    # Whose artifacts they were is known to nobody: they are found when they are old.
    assert found(promoted) == []


def test_a_damaged_item_that_cannot_be_restored_stays_as_it_is(promoted: Installation) -> None:
    path = path_of(promoted, items.LOCAL_MODELS, f"{NAME}-v1")
    path.write_text("{")
    for uri in promoted.versions.get(NAME, 1).artifacts.values():
        shutil.rmtree(uri)
    (done,) = [one for one in repair(promoted.services, found(promoted)) if one.failed]
    assert "ZenML holds no ONNX model" in done.reason
    assert path.read_text() == "{"


@pytest.mark.parametrize("href", ["{folder}/model.onnx", "{folder}"])
def test_an_artifact_folder_that_a_link_leads_into_outlives_its_own_item(promoted: Installation, href: str) -> None:
    model = item_flow.find(promoted.services.catalog, f"{NAME}-v1")["assets"]["model"]["href"]
    href = href.format(folder=Path(model).parent)
    patching.patch(promoted.services, DATASET, {"links": [{"rel": "example", "href": href}]})
    promoted.versions.delete(NAME, 1)
    repaired(promoted)
    assert Path(model).is_file()


def test_no_artifact_is_removed_while_an_item_cannot_be_read(promoted: Installation) -> None:
    model = item_flow.find(promoted.services.catalog, f"{NAME}-v1")["assets"]["model"]["href"]
    promoted.register_dataset("village")
    path_of(promoted, items.DATASETS, "village").write_text("{")
    promoted.versions.delete(NAME, 1)
    families.recompute(promoted.services, NAME)
    assert list(promoted.published()) == [f"{NAME}-v2"]
    assert Path(model).is_file()


def test_a_removal_reads_only_what_has_changed(promoted: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    third = promoted.trained()
    promoted.promote(third)
    promoted.versions.delete(NAME, 1)
    families.recompute(promoted.services, NAME)
    promoted.versions.delete(NAME, 2)
    read: list[bytes] = []
    parsed = index.parse_entry
    monkeypatch.setattr(
        index, "parse_entry", lambda content, folder: (read.append(content), parsed(content, folder))[1]
    )
    families.recompute(promoted.services, NAME)
    assert promoted.artifacts(items.LOCAL_MODELS) == {f"v3-{third.uuid[:8]}"}
    assert len(read) == 1, "the item that lost its predecessor, and neither base model nor dataset"


@pytest.mark.parametrize("damage", [lambda path: path.write_text("{"), lambda path: altered(path, no_box)])
def test_a_damaged_child_does_not_keep_a_base_model_from_its_next_release(
    promoted: Installation, damage: Callable[[Path], object]
) -> None:
    damage(path_of(promoted, items.LOCAL_MODELS, f"{NAME}-v1"))
    (promoted.folder / "README.md").write_text("another release")
    assert promoted.register_base_model()["properties"]["version"] == "2"
    second = item_flow.find(promoted.services.catalog, f"{NAME}-v2")
    assert f"catalog://{items.BASE_MODELS}/{MODEL}-v1" in [link["href"] for link in second["links"]]
    repaired(promoted)
    first = item_flow.find(promoted.services.catalog, f"{NAME}-v1")
    assert f"catalog://{items.BASE_MODELS}/{MODEL}-v1" in [link["href"] for link in first["links"]]

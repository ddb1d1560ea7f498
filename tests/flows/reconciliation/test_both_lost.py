"""What may be all that is left: catalog and ZenML both lost, a ZenML without any version, a file nobody vouches for."""

import shutil

import dagster as dg
import pytest

from fair_dagster.domain import items
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.findings import Finding, without_mass_deletion
from fair_dagster.flows.publication import families
from fair_dagster.flows.reconciliation.repair import repair
from fair_dagster.orchestration.reconciliation import reconcile
from tests.flows.reconciliation.drifting import aged, altered, files_of, found, path_of
from tests.installations import NAME, Installation


def orphans(numbers: range) -> list[Finding]:
    return [Finding(items.LOCAL_MODELS, f"a-v{n}", "orphaned", "", "remove it", "a") for n in numbers]


def test_files_of_models_stay_where_catalog_and_zenml_are_both_lost(promoted: Installation) -> None:
    root = aged(promoted) / items.LOCAL_MODELS
    before = files_of(root)
    shutil.rmtree(promoted.services.settings.catalog_path)
    promoted.versions.delete_model(NAME)
    repair(promoted.services, found(promoted))
    assert before
    assert files_of(root) == before


def test_a_zenml_without_any_version_lets_nothing_be_removed_unless_told_so(promoted: Installation) -> None:
    for _ in range(3):
        promoted.promote(promoted.trained())
    before = promoted.published()
    promoted.versions.delete_model(NAME)
    with dg.DagsterInstance.ephemeral() as instance:
        done = reconcile(promoted.services, instance, found(promoted))
        assert any(one.failed and "--all-deleted" in one.reason for one in done)
        assert promoted.published() == before
        reconcile(promoted.services, instance, found(promoted), all_deleted=True)
    assert promoted.published() == {}


@pytest.mark.parametrize("kind", ["damaged", "not checked", "unpublishable"])
def test_an_item_that_cannot_be_judged_does_not_allow_to_remove_all_others(kind: str) -> None:
    hidden = Finding(items.LOCAL_MODELS, "b-v1", kind, "", "", "b")  # type: ignore[arg-type]
    published = [*(f"a-v{n}" for n in range(9)), "b-v1"]
    kept, refusal = without_mass_deletion([*orphans(range(9)), hidden], published)
    assert kept == []
    assert "nothing is removed" in refusal


def test_one_version_that_zenml_has_allows_the_others_to_be_removed() -> None:
    findings = orphans(range(9))
    assert without_mass_deletion(findings, [f"a-v{n}" for n in range(10)]) == (findings, "")


def test_an_item_that_names_the_file_of_another_version_is_altered(promoted: Installation) -> None:
    first, second = (promoted.services.catalog.get(_key(f"{NAME}-v{n}")) for n in (1, 2))
    assert first is not None
    assert second is not None
    right = second["assets"]["model"]["href"]

    def swap(item: Item) -> None:
        item["assets"]["model"]["href"] = first["assets"]["model"]["href"]

    altered(path_of(promoted, items.LOCAL_MODELS, f"{NAME}-v2"), swap)
    assert [one.kind for one in found(promoted) if one.item == f"{NAME}-v2"] == ["altered"]
    repair(promoted.services, found(promoted))
    mended = promoted.services.catalog.get(_key(f"{NAME}-v2"))
    assert mended is not None
    assert mended["assets"]["model"]["href"] == right


def test_a_copy_of_an_item_under_another_id_is_removed_and_leads_nothing_astray(promoted: Installation) -> None:
    first = path_of(promoted, items.LOCAL_MODELS, f"{NAME}-v1")
    before = promoted.services.catalog.get(_key(f"{NAME}-v1"))
    copied = first.parent.parent / f"{NAME}-v9" / f"{NAME}-v9.json"
    copied.parent.mkdir()
    copied.write_text(first.read_text().replace(f'"{NAME}-v1"', f'"{NAME}-v9"'))
    repair(promoted.services, found(promoted))
    assert sorted(promoted.published()) == [f"{NAME}-v1", f"{NAME}-v2"]
    assert promoted.services.catalog.get(_key(f"{NAME}-v1")) == before


def test_a_published_file_is_not_replaced_by_a_source_that_differs_when_no_item_says_which_is_right(
    promoted: Installation,
) -> None:
    version = promoted.versions.list(NAME)[-1]
    item = promoted.services.catalog.get(_key(version.id))
    assert item is not None
    published = aged(promoted) / items.LOCAL_MODELS / NAME
    before = {path: path.read_bytes() for path in published.rglob("model.onnx")}
    path_of(promoted, items.LOCAL_MODELS, version.id).unlink()
    for path in promoted.versions.folder.glob(f"{version.uuid}/onnx_model/*"):
        path.write_bytes(b"trunc")
    with pytest.raises(RefusedError, match="no item says which is right"):
        families.recompute(promoted.services, NAME)
    assert {path: path.read_bytes() for path in published.rglob("model.onnx")} == before


def test_a_former_version_that_lost_its_files_lets_another_be_archived(promoted: Installation) -> None:
    first, second = promoted.versions.list(NAME)
    shutil.rmtree(promoted.versions.folder / first.uuid)
    for path in (aged(promoted) / items.LOCAL_MODELS / NAME).glob(f"v{first.number}-*/model.onnx"):
        path.unlink()
    families.set_stage(promoted.services, NAME, second.number, "archived")
    families.recompute(promoted.services, NAME)
    assert promoted.published() == {first.id: False, second.id: False}


def _key(item_id: str) -> ItemKey:
    return ItemKey(items.LOCAL_MODELS, item_id)

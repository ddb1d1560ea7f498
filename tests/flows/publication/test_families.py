"""Publishing finetuned models: gather, publish, apply, and undoing what failed."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.domain import items
from fair_dagster.domain.errors import CatalogError, ConflictError, RefusedError, ServiceError
from fair_dagster.domain.items.stac import ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.flows import items as item_flow
from fair_dagster.flows.publication import families, patching
from tests.installations import MODEL, NAME, Installation


def test_a_promoted_version_becomes_an_item_with_its_artifacts_and_parents(installation: Installation) -> None:
    version = installation.trained(epochs=3)
    installation.promote(version)
    item = installation.active(items.LOCAL_MODELS, NAME)
    properties = item["properties"]
    assert (item["id"], properties["fair:zenml_version_id"]) == (version.id, version.uuid)
    assert properties["fair:metrics"] == {"building_iou": 0.5}
    assert properties["mlm:hyperparameters"]["training.epochs"] == 3
    assert Path(item["assets"]["model"]["href"]).read_bytes() == f"onnx_model of {version.uuid}".encode()
    parents = [link["href"] for link in item["links"] if link["rel"] == "derived_from"]
    assert parents == [f"catalog://base-models/{MODEL}", "catalog://datasets/town"]


def test_a_version_that_was_never_promoted_is_not_published(installation: Installation) -> None:
    version = installation.trained()
    families.set_stage(installation.services, NAME, version.number, "archived")
    assert not families.recompute(installation.services, NAME)
    assert installation.published() == {}


def test_the_next_promotion_deprecates_and_links_the_former(installation: Installation) -> None:
    first, second = installation.trained(), installation.trained()
    installation.promote(first)
    installation.promote(second)
    assert installation.published() == {first.id: False, second.id: True}
    links = {link["rel"]: link["href"] for link in installation.active(items.LOCAL_MODELS, NAME)["links"]}
    assert links["predecessor-version"] == f"catalog://local-models/{first.id}"


def test_a_rollback_makes_the_older_version_active_again(installation: Installation) -> None:
    first, second = installation.trained(), installation.trained()
    for version in (first, second, first):
        installation.promote(version)
    assert installation.published() == {first.id: True, second.id: False}


def test_a_second_recompute_changes_nothing(installation: Installation) -> None:
    installation.promote(installation.trained())
    assert not families.recompute(installation.services, NAME)


def test_what_was_promoted_survives_the_loss_of_the_catalog(installation: Installation) -> None:
    first, second = installation.trained(), installation.trained()
    installation.promote(first)
    installation.promote(second)
    keys = [ItemKey(items.LOCAL_MODELS, id_) for id_ in (first.id, second.id)]
    installation.services.catalog.apply(ChangeSet(tuple(Change("delete", key, "lost") for key in keys)))
    families.recompute(installation.services, NAME)
    assert installation.published() == {first.id: False, second.id: True}


def test_a_patch_survives_recomputes_and_promotions(installation: Installation) -> None:
    first = installation.trained()
    installation.promote(first)
    patching.patch(installation.services, first.id, {"properties": {"title": "Roofs of the town", "fair:pinned": True}})
    installation.promote(installation.trained())
    properties = item_flow.find(installation.services.catalog, first.id)["properties"]
    assert (properties["title"], properties["fair:pinned"]) == ("Roofs of the town", True)
    assert properties["deprecated"] is True


def test_a_writer_that_was_faster_is_not_overwritten(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process patches the item between gathering and applying."""
    version = installation.trained()
    installation.promote(version)
    catalog, second = installation.services.catalog, installation.trained()
    apply, calls = catalog.apply, []

    def interrupted(changes: ChangeSet) -> None:
        calls.append(changes)
        if len(calls) == 1:
            monkeypatch.setattr(catalog, "apply", apply)
            patching.patch(installation.services, version.id, {"properties": {"fair:pinned": True}})
            monkeypatch.setattr(catalog, "apply", interrupted)
        apply(changes)

    monkeypatch.setattr(catalog, "apply", interrupted)
    installation.promote(second)
    assert len(calls) == 2, "the first attempt met the patch and was made again"
    assert item_flow.find(installation.services.catalog, version.id)["properties"]["fair:pinned"] is True
    assert installation.published() == {version.id: False, second.id: True}


def test_writers_that_stay_faster_are_reported(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def always(_: ChangeSet) -> None:
        raise ConflictError("changed since it was read")

    monkeypatch.setattr(installation.services.catalog, "apply", always)
    with pytest.raises(ConflictError):
        installation.promote(installation.trained())


def fails(error: Exception) -> Any:
    def method(*_: Any, **__: Any) -> None:
        raise error

    return method


@pytest.mark.parametrize("failing", ["catalog.apply", "artifacts.publish", "require_valid"])
def test_a_promotion_that_fails_leaves_stages_catalog_and_artifacts_as_they_were(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    first, second = installation.trained(), installation.trained()
    installation.promote(first)
    before = installation.versions.list(NAME)
    services = installation.services
    patches = {
        "catalog.apply": lambda patch: patch.setattr(services.catalog, "apply", fails(CatalogError("disk full"))),
        "artifacts.publish": lambda patch: patch.setattr(services.artifacts, "publish", fails(OSError(28, "full"))),
        "require_valid": lambda patch: patch.setattr(
            services.validator, "require", fails(RefusedError("item", ["bad"]))
        ),
    }
    with monkeypatch.context() as broken:
        patches[failing](broken)
        with pytest.raises((CatalogError, OSError, RefusedError)):
            installation.promote(second)
        # As after a failure on a disk that stays broken.
        if failing != "artifacts.publish":
            families.undo_stage(services, NAME, second.number, before)
    if failing == "artifacts.publish":
        families.undo_stage(services, NAME, second.number, before)
    assert installation.versions.stages(NAME) == {1: "production", 2: "archived"}
    assert installation.published() == {first.id: True}
    assert len(installation.artifacts(items.LOCAL_MODELS)) == 1


def test_a_failure_after_the_write_takes_the_catalog_back_too(installation: Installation) -> None:
    first, second = installation.trained(), installation.trained()
    installation.promote(first)
    before = installation.versions.list(NAME)
    installation.versions.broken["log"] = ServiceError("no answer")
    with pytest.raises(ServiceError):
        installation.promote(second)
    assert installation.published()[second.id], "the item was written before ZenML failed"
    installation.versions.broken.clear()
    families.undo_stage(installation.services, NAME, second.number, before)
    assert installation.versions.stages(NAME) == {1: "production", 2: "archived"}
    assert installation.published() == {first.id: True, second.id: False}


def test_an_archive_that_fails_puts_the_version_back_into_production(installation: Installation) -> None:
    version = installation.trained()
    installation.promote(version)
    before = installation.versions.list(NAME)
    families.set_stage(installation.services, NAME, version.number, "archived")
    families.undo_stage(installation.services, NAME, version.number, before)
    assert installation.versions.stages(NAME) == {1: "production"}


def test_a_stage_that_cannot_be_set_back_is_told(installation: Installation) -> None:
    version = installation.trained()
    before = installation.versions.list(NAME)
    families.set_stage(installation.services, NAME, version.number, "production")
    installation.versions.broken["set_stage"] = ServiceError("no answer")
    with pytest.raises(ServiceError, match="set the stage again"):
        families.undo_stage(installation.services, NAME, version.number, before)


def test_what_cannot_be_published_is_refused_before_zenml_changes(installation: Installation) -> None:
    installation.versions.create(NAME)
    with pytest.raises(RefusedError) as refusal:
        families.set_stage(installation.services, NAME, 1, "production")
    assert len(refusal.value.problems) == 3, "no request, no ONNX model, no weights"
    assert installation.versions.stages(NAME) == {1: "none"}


def test_a_model_on_the_disk_of_another_machine_is_named(installation: Installation) -> None:
    version = installation.trained()
    shutil.rmtree(Path(str(version.onnx_uri)))
    with pytest.raises(RefusedError) as refusal:
        families.set_stage(installation.services, NAME, version.number, "production")
    (problem,) = refusal.value.problems
    assert f"{version.onnx_uri} is not on this machine" in problem
    assert "another machine has trained it" in problem


def test_a_version_about_to_be_deleted_leaves_the_catalog_with_its_artifacts(installation: Installation) -> None:
    first, second = installation.trained(), installation.trained()
    installation.promote(first)
    installation.promote(second)
    families.recompute(installation.services, NAME, without=second.uuid)
    assert installation.published() == {first.id: False}
    assert installation.artifacts(items.LOCAL_MODELS) == {f"v1-{first.uuid[:8]}"}
    item = item_flow.find(installation.services.catalog, first.id)
    assert {link["rel"] for link in item["links"]} == {"derived_from"}, "no link to what is gone"


def test_a_number_used_again_after_a_deletion_takes_over_nothing(installation: Installation) -> None:
    first = installation.trained()
    installation.promote(first)
    patching.patch(installation.services, first.id, {"properties": {"fair:pinned": True}})
    families.recompute(installation.services, NAME, without=first.uuid)
    installation.versions.delete(NAME, 1)
    again = installation.trained()
    assert again.id == first.id
    installation.promote(again)
    item = installation.active(items.LOCAL_MODELS, NAME)
    assert item["properties"]["fair:zenml_version_id"] == again.uuid
    assert "fair:pinned" not in item["properties"]
    assert Path(item["assets"]["model"]["href"]).read_bytes() == f"onnx_model of {again.uuid}".encode()


def test_a_published_version_does_not_need_zenml_to_keep_its_artifacts(installation: Installation) -> None:
    first, second = installation.trained(), installation.trained()
    installation.promote(first)
    for uri in first.artifacts.values():
        shutil.rmtree(uri)
    installation.promote(second)
    installation.promote(first)
    assert installation.published() == {first.id: True, second.id: False}


def test_a_published_file_that_was_cut_short_is_copied_again(installation: Installation) -> None:
    version = installation.trained()
    installation.promote(version)
    asset = installation.active(items.LOCAL_MODELS, NAME)["assets"]["model"]
    Path(asset["href"]).write_bytes(b"cut")
    families.recompute(installation.services, NAME)
    assert Path(asset["href"]).stat().st_size == asset["file:size"]
    assert installation.active(items.LOCAL_MODELS, NAME)["assets"]["model"] == asset

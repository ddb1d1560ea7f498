"""What a recompute does to items that somebody altered, and to what an item names that is there no more."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fair_dagster.domain import items
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.promoted_items import CONFIG_ASSET, LOSS_ASSET, THUMBNAIL_ASSET
from fair_dagster.flows.publication import families, patching
from fair_dagster.flows.publication.artifacts import folder_of_version
from fair_dagster.flows.reconciliation.repair import repair
from fair_dagster.flows.reconciliation.report import report
from fair_dagster.flows.training_files import run_folder
from fair_dagster.pipelines.filenames import PREVIEW_FILE
from fair_dagster.pipelines.zenml.artifacts import version_file
from tests.flows.reconciliation.drifting import altered, kinds, path_of, repaired
from tests.installations import NAME, Installation

KEY = ItemKey(items.LOCAL_MODELS, f"{NAME}-v1")


@pytest.fixture
def promoted(installation: Installation) -> Installation:
    """One promoted version with all five artifacts."""
    version = installation.trained(**{"training.epochs": 2})
    history = {"fair/loss_history": {"train_loss": [1.0, 0.5], "val_loss": [1.0, 0.6]}}
    installation.versions.log(version.uuid, history)
    (run_folder(installation.services.settings, version.id, version.uuid) / PREVIEW_FILE).write_bytes(b"picture")
    installation.promote(version)
    return installation


def item_of(installation: Installation) -> Item:
    item = installation.services.catalog.get(KEY)
    assert item is not None
    return item


def lose_uuid(item: Item) -> None:
    del item["properties"][items.ZENML_UID]


def mistype_uuid(item: Item) -> None:
    item["properties"][items.ZENML_UID] = f"{item['properties'][items.ZENML_UID]}0"


@pytest.mark.parametrize("change", [lose_uuid, mistype_uuid])
def test_an_altered_uuid_costs_neither_users_fields_nor_artifacts(
    promoted: Installation, change: Callable[[Item], None]
) -> None:
    patching.patch(promoted.services, KEY.id, {"properties": {"title": "Ours", "fair:pinned": True}})
    before = item_of(promoted)
    version = promoted.versions.get(NAME, 1)
    for uri in (version.onnx_uri, version.model_uri):
        path = version_file(promoted.services.settings, version, uri)
        assert path is not None
        path.unlink()
    altered(path_of(promoted, *_pair(KEY)), change)
    (finding,) = report(promoted.services)
    assert (finding.kind, "fair:zenml_version_id" in finding.detail) == ("altered", True)
    repaired(promoted)
    after = item_of(promoted)
    after["properties"]["updated"] = before["properties"]["updated"]
    assert after == before
    assert promoted.artifacts(items.LOCAL_MODELS) == {Path(folder_of_version(version)).name}


def test_an_archive_that_nobody_published_reads_like_one(promoted: Installation) -> None:
    promoted.versions.set_stage(NAME, 1, "archived")
    assert kinds(promoted) == {(KEY.id, "stage")}
    repaired(promoted)
    assert promoted.published() == {KEY.id: False}


def test_a_stamp_that_is_no_time_is_repaired_with_other_alterations(promoted: Installation) -> None:
    def change(item: Item) -> None:
        item["properties"] |= {"created": "yesterday", "license": "none of ours"}

    altered(path_of(promoted, *_pair(KEY)), lambda item: item["properties"].update(created="yesterday"))
    assert kinds(promoted) == {(KEY.id, "altered")}
    altered(path_of(promoted, *_pair(KEY)), change)
    repaired(promoted)


@pytest.mark.parametrize("lost", [CONFIG_ASSET, THUMBNAIL_ASSET, LOSS_ASSET])
def test_an_artifact_without_a_source_stays_named_and_told(promoted: Installation, lost: str) -> None:
    before = item_of(promoted)["assets"][lost]
    version = promoted.versions.get(NAME, 1)
    folder = run_folder(promoted.services.settings, version.id, version.uuid)
    for path in (*folder.iterdir(), Path(before["href"])):
        path.unlink()
    promoted.versions.log(version.uuid, {"fair/loss_history": {}})
    families.recompute(promoted.services, NAME)
    assert item_of(promoted)["assets"][lost] == before
    assert kinds(promoted) == {(KEY.id, "missing artifact")}
    (done,) = repair(promoted.services, report(promoted.services))
    assert done.failed
    assert kinds(promoted) == {(KEY.id, "missing artifact")}


def _pair(key: ItemKey) -> tuple[str, str]:
    return key.collection, key.id

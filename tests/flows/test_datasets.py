"""Describing and registering datasets: versions by content, every refusal at once."""

import json
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from fair_dagster.domain import items
from fair_dagster.domain.errors import RefusedError, StorageError
from fair_dagster.domain.items.stac import Item
from fair_dagster.flows import datasets
from fair_dagster.flows.datasets import DatasetSpec
from tests.installations import DATASET, Installation


def spec(chips: Path, labels: Path, **fields: Any) -> DatasetSpec:
    return DatasetSpec(**{"slug": DATASET, "chips": chips, "labels": labels, "synthetic": True} | fields)


def copied(installation: Installation, folder: Path) -> tuple[Path, Path]:
    """Chips and labels that a test may spoil."""
    shutil.copytree(installation.town.train_chips, folder / "chips")
    return folder / "chips", Path(shutil.copy(installation.town.labels, folder / "labels.geojson"))


def refusal(installation: Installation, described: DatasetSpec) -> str:
    with pytest.raises(RefusedError) as caught:
        datasets.create(installation.services, described)
    assert installation.published(items.DATASETS) == {}
    return str(caught.value)


def test_equal_content_from_another_place_changes_nothing(installation: Installation, tmp_path: Path) -> None:
    chips, labels = copied(installation, tmp_path)
    path = tmp_path / "item.json"
    datasets.write_item(datasets.create(installation.services, spec(chips, labels)), path)
    assert not datasets.register(installation.services, path)


def test_a_changed_artifact_is_not_adopted_by_registering_equal_content_again(installation: Installation) -> None:
    before = installation.active(items.DATASETS, DATASET)
    labels = Path(before["assets"]["labels"]["href"])
    original = labels.read_text()
    labels.write_text(original.replace("Feature", "feature"))
    installation.register_dataset()
    after = installation.active(items.DATASETS, DATASET)
    assert after["assets"] == before["assets"]
    assert labels.read_text() == original


def test_new_labels_become_the_next_version_and_the_old_ones_revert(installation: Installation, tmp_path: Path) -> None:
    chips, labels = copied(installation, tmp_path)
    original = labels.read_text()
    document = json.loads(original)
    labels.write_text(json.dumps(document | {"features": document["features"][1:]}))
    path = tmp_path / "item.json"

    def register() -> Item:
        # The description counts the labels, and so is part of the content: it stays as it was.
        described = datasets.create(installation.services, spec(chips, labels, description="Roofs."))
        datasets.write_item(described, path)
        datasets.register(installation.services, path)
        return installation.active(items.DATASETS, DATASET)

    assert register()["properties"]["version"] == "2"
    labels.write_text(original)
    assert register()["properties"]["version"] == "3", "another description is other content"
    document["features"].pop(0)
    labels.write_text(json.dumps(document))
    assert register()["properties"]["version"] == "2"


def test_finetunes_stay_linked_to_the_dataset_they_were_made_from(installation: Installation) -> None:
    installation.promote(installation.trained())
    installation.register_dataset(title="Another title")
    (child,) = installation.services.catalog.items(items.LOCAL_MODELS)
    parents = [link["href"] for link in child["links"] if link["rel"] == "derived_from"]
    assert parents[1] == f"catalog://datasets/{DATASET}-v1"


def test_name_chips_and_labels_are_refused_in_one_message(bare: Installation, tmp_path: Path) -> None:
    (tmp_path / "chips").mkdir()
    labels = tmp_path / "labels.geojson"
    labels.write_text('{"type": "FeatureCollection", "features": []}')
    told = refusal(bare, spec(tmp_path / "chips", labels, slug="../Town"))
    assert "'../Town'" in told
    assert "no .tif, .tiff or .png" in told
    assert "no feature" in told.lower() or "no labels" in told.lower()


def test_every_chip_that_cannot_be_read_is_named(bare: Installation, tmp_path: Path) -> None:
    chips, labels = copied(bare, tmp_path)
    broken = sorted(chips.glob("*.png"))[:2]
    for path in broken:
        path.write_bytes(path.read_bytes()[:200])
    told = refusal(bare, spec(chips, labels))
    assert all(path.name in told for path in broken)


def test_labels_outside_the_chips_are_refused(bare: Installation, tmp_path: Path) -> None:
    labels = tmp_path / "labels.geojson"
    ring = [[10.0, 50.0], [10.1, 50.0], [10.1, 50.1], [10.0, 50.0]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    labels.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    assert "chips" in refusal(bare, spec(bare.town.train_chips, labels))


@pytest.mark.parametrize("slug", ["a/b", "..", "Town", "town-v2", "tow n", "x" * 64])
def test_a_name_that_is_no_slug_is_refused(bare: Installation, slug: str) -> None:
    assert repr(slug) in refusal(bare, spec(bare.town.train_chips, bare.town.labels, slug=slug))


@pytest.mark.parametrize(
    "change",
    [
        {"assets": []},
        {"assets": {"chips": "no object"}},
        {"assets": {}},
        {"properties": {"keywords": None}},
        {"properties": {"keywords": [["building"]]}},
        {"id": 7},
        {"links": None},
        {"links": ["no object"]},
        {"stac_extensions": None},
        {"geometry": "POINT"},
    ],
    ids=str,
)
def test_a_broken_item_is_refused_and_never_a_fault(bare: Installation, tmp_path: Path, change: dict[str, Any]) -> None:
    item = datasets.create(bare.services, spec(bare.town.train_chips, bare.town.labels))
    if "properties" in change:
        change = {"properties": item["properties"] | change["properties"]}
    path = tmp_path / "item.json"
    path.write_bytes(orjson.dumps(item | change))
    with pytest.raises(RefusedError):
        datasets.register(bare.services, path)
    assert bare.published(items.DATASETS) == {}


def test_an_artifact_store_that_is_full_leaves_nothing(bare: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("os.fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            bare.register_dataset()
    assert bare.published(items.DATASETS) == {}
    assert bare.artifacts(items.DATASETS) == set()
    assert bare.register_dataset()["properties"]["version"] == "1"

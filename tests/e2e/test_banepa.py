"""The main job on real imagery: Banepa, Nepal, 0.3 m, hand-drawn buildings."""

import json
from pathlib import Path
from typing import Any

import pystac
import pystac.validation
import pytest

from fair_dagster.catalog.validation.schema_cache import SchemaCache
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.versions import TrainingRecord
from fair_dagster.fair import Fair
from fair_dagster.flows.datasets import DatasetSpec
from fair_dagster.flows.finetunes.training import Ask
from fair_dagster.imagery.chips import inspect_chips
from tests.e2e.conftest import MODEL

NAME = "banepa-buildings"


@pytest.fixture(scope="module")
def banepa(shared_data: Path) -> Path:
    folder = shared_data / "banepa"
    if not folder.is_dir():
        pytest.skip("the Banepa sample data is not in ../shared/data")
    return folder


@pytest.fixture(scope="module")
def training(fair: Fair, banepa: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingRecord:
    """With the base model's own hyperparameters."""
    spec = DatasetSpec("banepa", banepa / "train" / "chips", banepa / "train" / "labels.geojson")
    fair.register_dataset(fair.create_dataset(spec, tmp_path_factory.mktemp("banepa") / "stac-item.json"))
    started = fair.finetune(Ask(MODEL, "banepa", NAME, {}))
    return fair.version(started.wait()).training


@pytest.fixture(scope="module")
def item(fair: Fair, training: TrainingRecord) -> Item:
    return fair.promote(f"{NAME}-v1")


def test_texture_beats_colour_on_the_held_out_block(training: TrainingRecord) -> None:
    iou = training.metrics["building_iou"]
    assert iou >= 0.48
    assert iou >= training.metrics["colour_only_building_iou"] + 0.05
    assert training.wall_seconds


def test_validation_chips_form_a_block(training: TrainingRecord) -> None:
    columns = [
        {int(name.split("-")[1]) for name in training.split[key]} for key in ("train_chip_names", "val_chip_names")
    ]
    assert max(columns[0]) < min(columns[1])


def test_every_item_is_valid_and_every_link_leads_to_an_item(fair: Fair, item: Item) -> None:
    findings = {finding.item: finding for found in fair.validate_catalog().values() for finding in found}
    assert item["id"] in findings
    assert [(name, finding.problems) for name, finding in findings.items() if finding.problems] == []


@pytest.mark.usefixtures("item")
def test_the_catalog_is_opened_validated_and_walked_by_pystac(fair: Fair, shared_schemas: Path) -> None:
    catalog = pystac.Catalog.from_file(str(fair.settings.catalog_path / "catalog.json"))
    found = {entry.id: entry for entry in catalog.get_items(recursive=True)}
    assert {MODEL, "banepa", f"{NAME}-v1"} <= set(found)
    parents = found[f"{NAME}-v1"].get_links("derived_from")
    assert [link.resolve_stac_object(root=catalog).target for link in parents] == [found[MODEL], found["banepa"]]
    # From the files: in memory pystac has raised the extensions to versions that it would have to fetch.
    documents = [json.loads(Path(entry.get_self_href() or "").read_text()) for entry in found.values()]
    validator = pystac.validation.JsonSchemaSTACValidator()
    cache = SchemaCache(shared_schemas, offline=True)
    for uri in {uri for document in documents for uri in document["stac_extensions"]}:
        validator.schema_cache |= cache.closure(uri)
    for document in documents:
        checked = pystac.validation.validate_dict(document, validator=validator)
        assert len(checked) == 1 + len(document["stac_extensions"])
    for container in (catalog, *catalog.get_children()):
        container.validate()


def test_buildings_are_drawn_within_the_chips(fair: Fair, item: Item, banepa: Path, tmp_path: Path) -> None:
    chips = banepa / "predict" / "chips"
    told: list[Any] = []
    path = fair.predict(NAME, chips, output=tmp_path / "buildings.geojson").wait(told.append)
    features = json.loads(Path(path).read_text())["features"]
    assert len(features) > 20
    west, south, east, north = inspect_chips(chips).bbox
    corners = [corner for feature in features for ring in rings(feature["geometry"]) for corner in ring]
    margin = 1e-7
    assert all(west - margin <= x <= east + margin and south - margin <= y <= north + margin for x, y in corners)
    assert any(progress is not None and progress[2] == "chip" for progress in told)


def rings(geometry: dict[str, Any]) -> list[list[list[float]]]:
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    return [ring for polygon in polygons for ring in polygon]

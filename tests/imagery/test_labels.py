"""Labels: what is read, what is refused, and where masks are set."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fair_dagster.domain.errors import RefusedError
from fair_dagster.imagery.chips import inspect_chips, read_chip
from fair_dagster.imagery.labels import LabelIndex, check_labels, read_labels
from tests.imagery.conftest import TILE

WEST, SOUTH, EAST, NORTH = TILE.bounds


def _box(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def _write(path: Path, *geometries: dict[str, Any] | None, **more: Any) -> Path:
    features = [{"type": "Feature", "properties": {"building": "yes"}, "geometry": g} for g in geometries]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features} | more))
    return path


def test_labels_keep_their_properties_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    path = _write(tmp_path / "labels.geojson", _box(0, 0, 1, 1), None)

    [label] = read_labels(path)

    assert label.properties == {"building": "yes"}
    assert label.geometry.area == pytest.approx(1)


def test_a_folder_with_one_geojson_is_enough_but_not_with_two(tmp_path: Path) -> None:
    _write(tmp_path / "a.geojson", _box(0, 0, 1, 1))

    assert len(read_labels(tmp_path)) == 1

    _write(tmp_path / "b.geojson", _box(0, 0, 1, 1))
    with pytest.raises(RefusedError, match=r"2 \.geojson files"):
        read_labels(tmp_path)


def test_a_bow_tie_is_repaired_and_stays_a_polygon(tmp_path: Path) -> None:
    bow_tie = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}

    [label] = read_labels(_write(tmp_path / "labels.geojson", bow_tie))

    assert label.geometry.is_valid
    assert label.geometry.area == pytest.approx(0.5)
    check_labels([label], [0, 0, 1, 1])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "not a GeoJSON FeatureCollection"),
        ('{"type": "FeatureCollection"}', "no list of features"),
        ("\udcff", "not JSON"),
    ],
)
def test_what_is_no_feature_collection_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "labels.geojson"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))

    with pytest.raises(RefusedError, match=reason):
        read_labels(path)


def test_every_broken_feature_is_named(tmp_path: Path) -> None:
    broken = {"type": "Polygon", "coordinates": "nothing"}
    path = _write(tmp_path / "labels.geojson", _box(0, 0, 1, 1), broken, {"type": "Blob"}, broken)

    with pytest.raises(RefusedError) as refusal:
        read_labels(path)

    assert [problem.split(" has ")[0] for problem in refusal.value.problems] == ["feature 1", "feature 2", "feature 3"]


def test_another_reference_system_is_refused_and_the_usual_one_is_not(tmp_path: Path) -> None:
    def crs(name: str) -> dict[str, Any]:
        return {"type": "name", "properties": {"name": name}}

    path = tmp_path / "labels.geojson"
    assert read_labels(_write(path, _box(0, 0, 1, 1), crs=crs("urn:ogc:def:crs:OGC:1.3:CRS84")))
    with pytest.raises(RefusedError, match="3857"):
        read_labels(_write(path, _box(0, 0, 1, 1), crs=crs("urn:ogc:def:crs:EPSG::3857")))


def test_labels_that_are_none_elsewhere_or_of_another_kind_are_refused(tmp_path: Path) -> None:
    point = {"type": "Point", "coordinates": [5, 5]}
    labels = read_labels(_write(tmp_path / "labels.geojson", point))

    with pytest.raises(RefusedError, match="no features"):
        check_labels([], [0, 0, 1, 1])
    with pytest.raises(RefusedError) as refusal:
        check_labels(labels, [0, 0, 1, 1], subject="labels of roofs")

    assert refusal.value.subject == "labels of roofs"
    assert len(refusal.value.problems) == 2
    check_labels(labels, [4, 4, 6, 6], geometry="point")


def test_a_mask_is_set_where_the_label_lies(tmp_path: Path, write_png: Callable[..., Path]) -> None:
    chip = read_chip(write_png(f"{TILE.name}.png"))
    north_west = _box(WEST, (SOUTH + NORTH) / 2, (WEST + EAST) / 2, NORTH)
    index = LabelIndex(read_labels(_write(tmp_path / "labels.geojson", north_west)))

    mask = index.mask(chip)

    expected = np.zeros((64, 64), np.uint8)
    expected[:32, :32] = 1
    assert (mask == expected).all()
    assert (index.mask(chip.frame) == expected).all()


def test_a_chip_without_labels_has_an_empty_mask(tmp_path: Path, write_png: Callable[..., Path]) -> None:
    chip = read_chip(write_png(f"{TILE.name}.png"))
    labels = read_labels(_write(tmp_path / "labels.geojson", _box(0, 0, 1, 1)))

    assert LabelIndex(labels).mask(chip).sum() == 0


def test_banepa_labels_fit_the_training_chips_and_not_the_others(shared_data: Path) -> None:
    labels = read_labels(shared_data / "train" / "labels.geojson")

    check_labels(labels, inspect_chips(shared_data / "train" / "chips").bbox)
    assert len(labels) == 1466
    with pytest.raises(RefusedError, match="no label lies on the chips"):
        check_labels(labels, inspect_chips(shared_data / "predict" / "chips").bbox)

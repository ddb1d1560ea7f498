"""From masks to polygons: one building stays one, wherever chip borders run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shapely.geometry import shape

from fair_dagster.imagery.chips import Frame
from fair_dagster.imagery.tiles import Tile
from fair_dagster.imagery.vectorize import ClassMask, vectorize

NAMES = {1: "building", 2: "road"}
SIZE = 64


def _frame(tile: Tile, shift: float = 0.0, size: int = SIZE, crs: int = 3857) -> Frame:
    """A chip on a tile, moved east by ``shift`` pixels."""
    from rasterio.crs import CRS
    from rasterio.transform import from_bounds

    west, south, east, north = tile.mercator_bounds if crs == 3857 else tile.bounds
    move = shift * (east - west) / size
    transform = from_bounds(west + move, south, east + move, north, size, size)
    return Frame(Path(f"{tile.name}.png"), size, size, transform, CRS.from_epsg(crs))


def _mask(frame: Frame, *blocks: tuple[slice, slice], value: int = 1, confidence: float = 0.8) -> ClassMask:
    classes = np.zeros((frame.height, frame.width), np.uint8)
    for block in blocks:
        classes[block] = value
    return ClassMask(frame, classes, np.full(classes.shape, confidence, np.float32))


LEFT, RIGHT = Tile(386690, 220241, 19), Tile(386691, 220241, 19)
TO_EAST, FROM_WEST = (slice(20, 30), slice(50, 64)), (slice(20, 30), slice(0, 6))


def _features(*masks: ClassMask, **options: Any) -> list[dict[str, Any]]:
    collection = vectorize(masks, NAMES, **options)
    assert collection["type"] == "FeatureCollection"
    return list(collection["features"])


def test_a_block_of_pixels_becomes_a_polygon_of_its_size() -> None:
    frame = _frame(LEFT)
    [feature] = _features(_mask(frame, (slice(10, 20), slice(10, 30))))

    ground = frame.mercator_pixel * np.cos(np.radians(np.mean(LEFT.bounds[1::2])))
    assert feature["properties"]["area_m2"] == pytest.approx(200 * ground**2, rel=0.01)
    assert feature["properties"] | {"area_m2": 0} == {"class": 1, "label": "building", "confidence": 0.8, "area_m2": 0}
    assert shape(feature["geometry"]).within(
        shape(
            {
                "type": "Polygon",
                "coordinates": [
                    [
                        [LEFT.bounds[0], LEFT.bounds[1]],
                        [LEFT.bounds[2], LEFT.bounds[1]],
                        [LEFT.bounds[2], LEFT.bounds[3]],
                        [LEFT.bounds[0], LEFT.bounds[3]],
                        [LEFT.bounds[0], LEFT.bounds[1]],
                    ]
                ],
            }
        )
    )


def test_rings_follow_the_right_hand_rule_with_seven_decimals() -> None:
    classes = np.zeros((SIZE, SIZE), np.uint8)
    classes[10:40, 10:40] = 1
    classes[20:30, 20:30] = 0
    mask = ClassMask(_frame(LEFT), classes, np.ones((SIZE, SIZE), np.float32))

    [feature] = _features(mask)

    polygon = shape(feature["geometry"])
    assert polygon.is_valid
    assert polygon.exterior.is_ccw
    assert [ring.is_ccw for ring in polygon.interiors] == [False]
    numbers = np.array(feature["geometry"]["coordinates"][0]).ravel()
    assert (numbers == np.round(numbers, 7)).all()


@pytest.mark.parametrize("gap", [-0.4, 0.0, 0.4])
def test_a_building_across_a_border_is_one_polygon(gap: float) -> None:
    """A gap or overlap of less than half a pixel comes from rounded georeferences, not from the ground."""
    masks = (
        _mask(_frame(LEFT), TO_EAST, confidence=0.9),
        _mask(_frame(RIGHT, gap), FROM_WEST, confidence=0.6),
    )

    [feature] = _features(*masks)

    ring = feature["geometry"]["coordinates"][0]
    longitudes = [corner[0] for corner in ring]
    pixel = (LEFT.bounds[2] - LEFT.bounds[0]) / SIZE
    assert feature["geometry"]["type"] == "Polygon"
    assert max(longitudes) - min(longitudes) == pytest.approx((20 + gap) * pixel, abs=0.05 * pixel)
    assert feature["properties"]["confidence"] == pytest.approx((14 * 0.9 + 6 * 0.6) / 20, abs=0.01)


def test_chips_two_pixels_apart_are_not_bridged() -> None:
    assert len(_features(_mask(_frame(LEFT), TO_EAST), _mask(_frame(RIGHT, 2.0), FROM_WEST))) == 2


def test_different_classes_stay_apart_at_a_border() -> None:
    features = _features(_mask(_frame(LEFT), TO_EAST), _mask(_frame(RIGHT), FROM_WEST, value=2))

    assert sorted(feature["properties"]["label"] for feature in features) == ["building", "road"]


def test_a_building_over_four_chips_is_one_polygon() -> None:
    tiles = [Tile(LEFT.x + dx, LEFT.y + dy, 19) for dy in (0, 1) for dx in (0, 1)]
    ends = {0: slice(50, 64), 1: slice(0, 10)}
    masks = [_mask(_frame(t), (ends[t.y - LEFT.y], ends[t.x - LEFT.x])) for t in tiles]

    assert len(_features(*masks)) == 1


def test_chips_that_only_share_a_corner_keep_two_polygons() -> None:
    below = Tile(LEFT.x + 1, LEFT.y + 1, 19)
    masks = (
        _mask(_frame(LEFT), (slice(50, 64), slice(50, 64))),
        _mask(_frame(below), (slice(0, 10), slice(0, 10))),
    )

    assert len(_features(*masks)) == 2


def test_chips_in_degrees_and_in_metres_meet() -> None:
    """Training chips carry degrees, others only a tile name: both lie on one grid."""
    assert len(_features(_mask(_frame(LEFT, crs=4326), TO_EAST), _mask(_frame(RIGHT), FROM_WEST))) == 1


def test_small_polygons_are_left_out_unless_they_go_on_beyond_the_border() -> None:
    speck, half = (slice(5, 7), slice(5, 7)), (slice(20, 30), slice(61, 64))
    other_half = (slice(20, 30), slice(0, 3))
    pixel_m2 = (_frame(LEFT).mercator_pixel * np.cos(np.radians(27.63))) ** 2

    features = _features(_mask(_frame(LEFT), speck, half), _mask(_frame(RIGHT), other_half), min_area_m2=50 * pixel_m2)

    assert len(features) == 1
    assert features[0]["properties"]["area_m2"] == pytest.approx(60 * pixel_m2, rel=0.02)


def test_a_small_hole_is_filled_and_a_large_one_kept() -> None:
    classes = np.ones((SIZE, SIZE), np.uint8)
    classes[5:7, 5:7] = 0
    classes[20:50, 20:50] = 0
    mask = ClassMask(_frame(LEFT), classes, np.ones((SIZE, SIZE), np.float32))

    [feature] = _features(mask, min_area_m2=20.0)

    assert len(feature["geometry"]["coordinates"]) == 2


def test_simplification_straightens_a_staircase() -> None:
    classes = np.triu(np.ones((SIZE, SIZE), np.uint8))
    mask = ClassMask(_frame(LEFT), classes, np.ones((SIZE, SIZE), np.float32))

    [steps] = _features(mask)
    [straight] = _features(mask, simplify_m=2.0)

    assert len(steps["geometry"]["coordinates"][0]) > 100
    assert len(straight["geometry"]["coordinates"][0]) < 8


@pytest.mark.parametrize("seed", range(4))
def test_four_chips_give_the_polygons_of_their_mosaic(seed: int) -> None:
    """Ragged random regions: cutting the picture into chips changes neither the number nor the areas."""
    from scipy import ndimage

    noise = ndimage.uniform_filter(np.random.default_rng(seed).random((2 * SIZE, 2 * SIZE)), 5)
    mosaic = (noise > np.quantile(noise, 0.6)).astype(np.uint8)
    regions, count = ndimage.label(mosaic)
    masks = []
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        cut = mosaic[dy * SIZE : (dy + 1) * SIZE, dx * SIZE : (dx + 1) * SIZE]
        frame = _frame(Tile(LEFT.x + dx, LEFT.y + dy, 19))
        masks.append(ClassMask(frame, cut, np.ones(cut.shape, np.float32)))

    features = _features(*masks)

    pixel_m2 = (masks[0].frame.mercator_pixel * np.cos(np.radians(27.633))) ** 2
    expected = np.sort(np.bincount(regions.ravel())[1:] * pixel_m2)
    assert len(features) == count > 20
    areas = np.sort([feature["properties"]["area_m2"] for feature in features])
    assert areas == pytest.approx(expected, rel=0.02, abs=0.2)


def test_the_order_of_chips_does_not_matter() -> None:
    masks = [_mask(_frame(LEFT), TO_EAST, (slice(0, 4), slice(0, 4))), _mask(_frame(RIGHT), FROM_WEST)]

    assert vectorize(masks, NAMES) == vectorize(masks[::-1], NAMES)


def test_nothing_found_is_an_empty_collection() -> None:
    assert vectorize([_mask(_frame(LEFT))], NAMES) == {"type": "FeatureCollection", "features": []}

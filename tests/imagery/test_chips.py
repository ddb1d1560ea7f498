"""Chips: three ways to say where they lie, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fair_dagster.domain.errors import RefusedError
from fair_dagster.imagery.chips import chip_grid_position, find_chips, inspect_chips, read_chip, read_frame
from fair_dagster.imagery.tiles import Tile
from tests.imagery.conftest import TILE

Write = Callable[..., Path]


def test_a_tile_name_places_a_png(write_png: Write) -> None:
    chip = read_chip(write_png(f"{TILE.name}.png"))

    assert chip.crs.to_epsg() == 3857
    assert chip.frame.bounds == pytest.approx(TILE.bounds)
    assert chip.pixels.shape == (3, 64, 64)
    assert chip.pixels.dtype == np.uint8


def test_a_georeference_inside_wins_over_the_name(write_tiff: Write) -> None:
    from rasterio.transform import from_bounds

    path = write_tiff(f"{TILE.name}.tif", from_bounds(10.0, 50.0, 10.001, 50.001, 64, 64), "EPSG:4326")

    assert read_frame(path).bounds == pytest.approx((10.0, 50.0, 10.001, 50.001))


def test_a_sidecar_places_a_chip_whose_name_says_nothing(write_png: Write) -> None:
    path = write_png("roof.png")
    path.with_name("roof.png.aux.xml").write_text(
        "<PAMDataset><SRS>EPSG:4326</SRS>"
        "<GeoTransform>85.5, 0.00001, 0.0, 27.6, 0.0, -0.00001</GeoTransform></PAMDataset>"
    )

    assert read_frame(path).bounds == pytest.approx((85.5, 27.6 - 64e-5, 85.5 + 64e-5, 27.6))


def test_a_chip_in_a_metric_system_is_placed_in_degrees(write_tiff: Write) -> None:
    from rasterio.transform import from_origin

    path = write_tiff("utm.tif", from_origin(350000, 3060000, 0.5, 0.5), "EPSG:32645")
    west, south, east, north = read_frame(path).bounds

    assert 85.4 < west < east < 85.6
    assert 27.6 < south < north < 27.7


def test_a_chip_without_any_place_is_refused(write_png: Write) -> None:
    with pytest.raises(RefusedError, match="nothing says where the chip lies"):
        read_frame(write_png("somewhere.png"))


def test_grey_and_palette_images_become_rgb(write_png: Write) -> None:
    from PIL import Image

    grey = write_png(f"{TILE.name}.png", np.full((8, 8), 77, np.uint8))
    path = grey.with_name("OAM-386691-220241-19.png")
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 200, 100, 50])
    palette.save(path)

    assert (read_chip(grey).pixels == 77).all()
    assert read_chip(path).pixels[:, 0, 0].tolist() == [200, 100, 50]


def test_sixteen_bit_pixels_are_refused(write_tiff: Write) -> None:
    path = write_tiff(f"{TILE.name}.tif", pixels=np.zeros((3, 8, 8), np.uint16))

    with pytest.raises(RefusedError, match="uint16"):
        read_chip(path)


def test_a_missing_an_empty_and_an_odd_path_are_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("no chip")

    with pytest.raises(RefusedError, match="no such folder"):
        find_chips(tmp_path / "absent")
    with pytest.raises(RefusedError, match=r"no \.tif"):
        find_chips(tmp_path)
    with pytest.raises(RefusedError, match="neither"):
        find_chips(tmp_path / "note.txt")


def test_chips_are_found_by_name_in_subfolders_and_alone(write_png: Write, tmp_path: Path) -> None:
    second, first = write_png("b/two.PNG"), write_png("a/one.png")
    write_png(".hidden.png")

    assert find_chips(tmp_path) == [first, second]
    assert find_chips(first) == [first]


def test_every_chip_that_cannot_be_used_is_named_at_once(write_png: Write, write_tiff: Write, tmp_path: Path) -> None:
    write_png(f"{TILE.name}.png")
    write_png("nowhere.png")
    (tmp_path / "text.tif").write_text("this is no image")
    cut = write_tiff(
        "OAM-386692-220241-19.tif", pixels=np.random.default_rng(0).integers(0, 255, (3, 64, 64), np.uint8)
    )
    cut.write_bytes(cut.read_bytes()[:6000])

    with pytest.raises(RefusedError) as refusal:
        inspect_chips(tmp_path)

    named = {problem.partition(":")[0] for problem in refusal.value.problems}
    assert named == {"nowhere.png", "text.tif", "OAM-386692-220241-19.tif"}


def test_a_summary_counts_sizes_and_covers_the_chips(write_png: Write, tmp_path: Path) -> None:
    write_png("OAM-10-20-10.png", size=64)
    write_png("OAM-11-20-10.png", size=128)

    summary = inspect_chips(tmp_path)

    west, south, _, north = Tile(10, 20, 10).bounds
    assert summary.count == 2
    assert summary.sizes == {(64, 64): 1, (128, 128): 1}
    assert summary.bbox == pytest.approx([west, south, Tile(11, 20, 10).bounds[2], north])
    assert summary.geometry["type"] == "Polygon"
    assert isinstance(summary.geometry["coordinates"][0], list)


def test_chips_apart_are_not_covered_by_one_box(write_png: Write, tmp_path: Path) -> None:
    write_png("OAM-10-20-10.png")
    write_png("OAM-14-20-10.png")

    assert inspect_chips(tmp_path).geometry["type"] == "MultiPolygon"


def test_the_grid_position_of_a_tile_is_its_column_and_row(write_png: Write) -> None:
    assert chip_grid_position(read_frame(write_png(f"{TILE.name}.png"))) == (TILE.x, TILE.y)


def test_banepa_chips_lie_where_their_names_say(shared_data: Path) -> None:
    """The training chips carry a sidecar in degrees; it agrees with the tile name to a fraction of a pixel."""
    train, predict = (inspect_chips(shared_data / part / "chips") for part in ("train", "predict"))
    frame = read_frame(shared_data / "train" / "chips" / f"{TILE.name}.tif")

    assert (train.count, predict.count) == (48, 16)
    assert train.sizes == {(512, 512): 48}
    assert frame.crs.to_epsg() == 4326
    assert frame.bounds == pytest.approx(TILE.bounds, abs=1e-7)
    assert chip_grid_position(frame) == (TILE.x, TILE.y)

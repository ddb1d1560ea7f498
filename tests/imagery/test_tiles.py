"""Tile names and their places."""

import pytest

from fair_dagster.imagery.tiles import Tile, tile_of_name


@pytest.mark.parametrize("name", ["OAM-386690-220241-19", "OAM-386690-220241-19.tif", "OAM-386690-220241-19.png"])
def test_a_tile_is_read_from_a_stem_or_a_file_name(name: str) -> None:
    assert tile_of_name(name) == Tile(386690, 220241, 19)


@pytest.mark.parametrize(
    "name", ["chip-1.tif", "OAM-1-2.tif", "OAM-1-2-3-4.tif", "OAM-a-b-c.tif", "", "OAM-8-0-3.tif", "OAM-0-0-99.tif"]
)
def test_a_name_without_a_possible_tile_gives_none(name: str) -> None:
    assert tile_of_name(name) is None


def test_the_name_of_a_tile_reads_back() -> None:
    tile = Tile(5, 6, 7)

    assert tile_of_name(tile.name) == tile


def test_bounds_are_west_south_east_north_in_degrees_and_in_metres() -> None:
    tile = Tile(0, 0, 1)

    assert tile.bounds == pytest.approx((-180.0, 0.0, 0.0, 85.0511288))
    assert tile.mercator_bounds == pytest.approx((-20037508.3428, 0.0, 0.0, 20037508.3428), abs=1e-3)


def test_rows_grow_to_the_south() -> None:
    assert Tile(0, 1, 1).bounds[3] <= Tile(0, 0, 1).bounds[1] + 1e-9

"""A seeded town that does not exist: chips and labels for demos and tests.

Writes the folders of a dataset. What the town looks like is decided in ``scenery``. The chips lie in the Gulf
of Guinea, where there is no land, so that nobody takes the result for a real place.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fair_dagster.domain.errors import RefusedError
from fair_dagster.imagery.chips import LONLAT, MERCATOR, project
from fair_dagster.imagery.scenery import Town, draw_town
from fair_dagster.imagery.tiles import Tile

# West of it lies the prime meridian, north of it the equator: open sea on every zoom.
_ORIGIN = (0.05, -0.05)
_SIZES = (64, 1024)
_ZOOMS = (15, 22)
_NOTE = "Synthetic imagery and labels, drawn by fair-dagster from a seed. No such place exists."


@dataclass(frozen=True)
class SyntheticDataset:
    """Where a synthetic dataset was written: folders of chips, and the GeoJSON of the roofs in the first."""

    train_chips: Path
    labels: Path
    predict_chips: Path


def synthesize(folder: Path, *, chips: int = 24, size: int = 256, seed: int = 7, zoom: int = 19) -> SyntheticDataset:
    """Draw a town and write it as ``chips`` labelled chips and a third as many without labels.

    The same arguments give the same pixels and labels. All chips are cut from one picture, so that roads and
    roofs cross their borders; the unlabelled ones lie east of the labelled ones.

    Args:
        folder: is created; files of the same names are replaced.
        chips: how many labelled ones, at least 2.
        size: side of a chip in pixels, 64 to 1024.
        seed: of the random generator.
        zoom: of the XYZ tiles that the chips are, 15 to 22.

    Raises:
        RefusedError: with every argument that cannot be used.
    """
    _check(chips, size, zoom)
    labelled, unlabelled = _layout(chips)
    columns = 1 + max(column for column, _ in [*labelled, *unlabelled])
    rows = 1 + max(row for _, row in labelled)
    origin = _origin(zoom)
    first = Tile(origin.x, origin.y, zoom)
    west, _, east, _ = first.mercator_bounds
    town = draw_town(columns * size, rows * size, pixel_m=(east - west) / size, seed=seed)
    dataset = SyntheticDataset(
        folder / "train" / "chips", folder / "train" / "labels.geojson", folder / "predict" / "chips"
    )
    _write_chips(dataset.train_chips, town.pixels, labelled, size, origin)
    _write_chips(dataset.predict_chips, town.pixels, unlabelled, size, origin)
    _write_labels(dataset.labels, town, labelled, size, first)
    arguments = f"chips={chips}, size={size}, seed={seed}, zoom={zoom}"
    (folder / "README.txt").write_text(f"{_NOTE}\nMade with {arguments}. Free of rights (CC0-1.0).\n", encoding="utf-8")
    return dataset


def _check(chips: int, size: int, zoom: int) -> None:
    problems = []
    if chips < 2:
        problems.append(f"chips is {chips}; at least 2 are needed, one to train on and one to validate on")
    if not _SIZES[0] <= size <= _SIZES[1]:
        problems.append(f"size is {size}; it has to be {_SIZES[0]} to {_SIZES[1]} pixels")
    if not _ZOOMS[0] <= zoom <= _ZOOMS[1]:
        problems.append(f"zoom is {zoom}; it has to be {_ZOOMS[0]} to {_ZOOMS[1]}")
    if problems:
        raise RefusedError("synthetic dataset", problems)


def _layout(chips: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(column, row) of the labelled and of the unlabelled chips: two blocks side by side, wider than high."""
    rows = max(1, round((chips / 1.5) ** 0.5))
    columns = -(-chips // rows)
    # Column by column, so that only the last column can be short.
    labelled = [(number // rows, number % rows) for number in range(chips)]
    count = max(1, chips // 3)
    unlabelled = [(columns + number // rows, number % rows) for number in range(count)]
    return labelled, unlabelled


def _origin(zoom: int) -> Tile:
    import mercantile

    tile = mercantile.tile(*_ORIGIN, zoom)
    return Tile(tile.x, tile.y, zoom)


def _write_chips(
    folder: Path, pixels: NDArray[np.uint8], cells: list[tuple[int, int]], size: int, origin: Tile
) -> None:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for column, row in cells:
        tile = Tile(origin.x + column, origin.y + row, origin.z)
        cut = pixels[row * size : (row + 1) * size, column * size : (column + 1) * size]
        Image.fromarray(np.ascontiguousarray(cut)).save(folder / f"{tile.name}.png", optimize=False)


def _write_labels(path: Path, town: Town, cells: list[tuple[int, int]], size: int, first: Tile) -> None:
    """The roofs that touch a labelled chip, whole, as GeoJSON."""
    import shapely

    west, _, east, north = first.mercator_bounds
    pixel = (east - west) / size
    area = shapely.union_all([shapely.box(c * size, r * size, (c + 1) * size, (r + 1) * size) for c, r in cells])
    features = []
    for number, roof in enumerate(town.roofs):
        # A roof that only reaches in from the unlabelled chips would tell what is to be predicted.
        if not area.contains(roof.outline.centroid):
            continue
        outline = shapely.transform(roof.outline, lambda points: _to_lonlat(points, west, north, pixel))
        geometry = json.loads(shapely.to_geojson(shapely.orient_polygons(shapely.set_precision(outline, 1e-7))))
        properties = {"building": "yes", "roof:material": roof.material, "synthetic": True, "id": number}
        features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    document = {"type": "FeatureCollection", "synthetic": True, "description": _NOTE, "features": features}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document) + "\n", encoding="utf-8")


def _to_lonlat(points: Any, west: float, north: float, pixel: float) -> NDArray[np.float64]:
    mercator = np.column_stack((west + points[:, 0] * pixel, north - points[:, 1] * pixel))
    return project(mercator, MERCATOR, LONLAT)

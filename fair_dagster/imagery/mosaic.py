"""A few neighbouring chips put together as one image. Used by ``pictures``; draws nothing on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fair_dagster.imagery.chips import Frame, chip_grid_position, read_chip, read_frame
from fair_dagster.imagery.tiles import Bounds
from fair_dagster.imagery.vectorize import ground_scale

_CHIP_PIXELS = 512


@dataclass(frozen=True)
class Mosaic:
    """``image`` is a Pillow RGB image that fills ``bounds`` (EPSG:3857), ``ground_width_m`` metres wide."""

    image: Any
    bounds: Bounds
    ground_width_m: float


def mosaic_of(chips: Sequence[Path], size: tuple[int, int], points: NDArray[np.float64]) -> Mosaic:
    """The block of at most ``size`` (columns, rows) chips that has the most chips, then the most ``points``.

    Args:
        chips: files, at least one.
        size: of the block, in chips.
        points: [N, 2] in EPSG:3857, what the picture shall show.
    """
    from PIL import Image

    block = _best_block([read_frame(path) for path in chips], size, points)
    corners = np.array([frame.mercator_bounds for frame in block])
    west, south = corners[:, :2].min(axis=0).tolist()
    east, north = corners[:, 2:].max(axis=0).tolist()
    # All chips at the resolution of the finest, but none larger than is ever shown.
    pixel = min(max(frame.mercator_pixel, (frame.mercator_pixel * frame.width) / _CHIP_PIXELS) for frame in block)
    image = Image.new("RGB", (round((east - west) / pixel), round((north - south) / pixel)), (24, 27, 31))
    for frame in block:
        left, bottom, right, top = frame.mercator_bounds
        # Both edges are rounded, not one edge and the size: neighbours then meet without a seam.
        x0, x1 = round((left - west) / pixel), round((right - west) / pixel)
        y0, y1 = round((north - top) / pixel), round((north - bottom) / pixel)
        pixels = Image.fromarray(np.ascontiguousarray(read_chip(frame.path).pixels.transpose(1, 2, 0)))
        image.paste(pixels.resize((x1 - x0, y1 - y0), Image.Resampling.LANCZOS), (x0, y0))
    return Mosaic(image, (west, south, east, north), (east - west) * ground_scale(block[0]))


def _best_block(frames: list[Frame], size: tuple[int, int], points: NDArray[np.float64]) -> list[Frame]:
    cells = {chip_grid_position(frame): frame for frame in frames}
    counts = {cell: _points_in(frame, points) for cell, frame in cells.items()}

    def block(corner: tuple[int, int]) -> list[tuple[int, int]]:
        column, row = corner
        wanted = ((column + dx, row + dy) for dy in range(size[1]) for dx in range(size[0]))
        return [cell for cell in wanted if cell in cells]

    # Corners in order, so that equal blocks give the same picture each time.
    best = max(sorted(cells), key=lambda corner: (len(block(corner)), sum(counts[cell] for cell in block(corner))))
    return [cells[cell] for cell in block(best)]


def _points_in(frame: Frame, points: NDArray[np.float64]) -> int:
    west, south, east, north = frame.mercator_bounds
    x, y = points[:, 0], points[:, 1]
    return int(((x >= west) & (x < east) & (y >= south) & (y < north)).sum())

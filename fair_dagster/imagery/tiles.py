"""XYZ tiles and the chip names that carry them. Arithmetic only; reading files belongs in ``chips``.

Tiles follow the XYZ scheme of web maps (y grows to the south); the arithmetic is mercantile's.
"""

import re
from dataclasses import dataclass

import mercantile

Bounds = tuple[float, float, float, float]
"""West, south, east, north, in the units of the reference system."""

MAX_ZOOM = 30
_NAME = re.compile(r"^OAM-(?P<x>[0-9]+)-(?P<y>[0-9]+)-(?P<z>[0-9]+)$")


@dataclass(frozen=True, order=True)
class Tile:
    """One tile of the XYZ scheme."""

    x: int
    y: int
    z: int

    @property
    def name(self) -> str:
        """The stem of a chip file of this tile: ``OAM-{x}-{y}-{z}``."""
        return f"OAM-{self.x}-{self.y}-{self.z}"

    @property
    def bounds(self) -> Bounds:
        """West, south, east, north in degrees (EPSG:4326)."""
        west, south, east, north = mercantile.bounds(self.x, self.y, self.z)
        return west, south, east, north

    @property
    def mercator_bounds(self) -> Bounds:
        """West, south, east, north in Web Mercator metres (EPSG:3857)."""
        west, south, east, north = mercantile.xy_bounds(self.x, self.y, self.z)
        return west, south, east, north


def tile_of_name(name: str) -> Tile | None:
    """The tile that a file name or stem names; None when it names none or one that cannot exist.

    Only what follows the last dot is cut off, so ``OAM-1-2-3.tif`` and ``OAM-1-2-3`` are equal.
    """
    stem, dot, _ = name.rpartition(".")
    match = _NAME.fullmatch(stem if dot else name)
    if match is None:
        return None
    tile = Tile(int(match["x"]), int(match["y"]), int(match["z"]))
    side = 2**tile.z if tile.z <= MAX_ZOOM else 0
    return tile if tile.x < side and tile.y < side else None

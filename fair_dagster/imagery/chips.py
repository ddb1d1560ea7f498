"""Chips: finding, reading and inspecting small georeferenced images.

A chip gets its georeference from inside the file, else from a sidecar, else from a tile name
``OAM-{x}-{y}-{z}``. Labels, models and drawings do not belong here.
"""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fair_dagster.domain.errors import RefusedError
from fair_dagster.imagery.tiles import Bounds, tile_of_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIXES = frozenset({".tif", ".tiff", ".png"})
BANDS = 3
LONLAT = "EPSG:4326"
MERCATOR = "EPSG:3857"
# Half the width of the world in EPSG:3857: where tile columns and rows are counted from.
_MERCATOR_EDGE = 20037508.342789244
# A footprint with more corners than this says nothing more to a reader of an item than its hull.
_MAX_CORNERS = 200


@dataclass(frozen=True)
class Frame:
    """Where the pixels of a chip lie on the ground, without the pixels.

    ``transform`` is an ``affine.Affine`` from (column, row) to the units of ``crs`` (a ``rasterio.crs.CRS``).
    """

    path: Path
    width: int
    height: int
    transform: Any
    crs: Any

    @cached_property
    def corners(self) -> "NDArray[np.float64]":
        """Corners in the order upper left, upper right, lower right, lower left: [4, 2], x before y."""
        import numpy as np

        pixels = ((0, 0), (self.width, 0), (self.width, self.height), (0, self.height))
        return np.array([self.transform @ corner for corner in pixels], dtype=np.float64)

    def corners_in(self, crs: str) -> "NDArray[np.float64]":
        """The corners in another reference system, [4, 2], x (or longitude) before y."""
        return project(self.corners, self.crs, crs)

    @cached_property
    def bounds(self) -> Bounds:
        """West, south, east, north in degrees (EPSG:4326)."""
        return _bounds_of(self.corners_in(LONLAT))

    @cached_property
    def mercator_bounds(self) -> Bounds:
        """West, south, east, north in metres of EPSG:3857."""
        return _bounds_of(self.corners_in(MERCATOR))

    @cached_property
    def mercator_pixel(self) -> float:
        """Width of a pixel in metres of EPSG:3857; times the cosine of the latitude on the ground."""
        west, _, east, _ = self.mercator_bounds
        return (east - west) / self.width


@dataclass(frozen=True)
class Chip:
    """One image: ``pixels`` uint8 [3, H, W] in the order red, green, blue, and its georeference."""

    path: Path
    pixels: "NDArray[np.uint8]"
    transform: Any
    crs: Any

    @cached_property
    def frame(self) -> Frame:
        _, height, width = self.pixels.shape
        return Frame(self.path, width, height, self.transform, self.crs)


@dataclass(frozen=True)
class ChipsSummary:
    """What a folder of chips holds. ``sizes`` counts chips by (width, height); ``geometry`` is GeoJSON."""

    count: int
    sizes: dict[tuple[int, int], int]
    bbox: list[float]
    geometry: dict[str, Any]


def project(points: "NDArray[np.float64]", source: Any, target: Any) -> "NDArray[np.float64]":
    """Points [N, 2] (x or longitude first) of one reference system in another."""
    import numpy as np

    transformer = _transformer(_wkt(source), _wkt(target))
    if transformer is None:
        return points
    return np.column_stack(transformer.transform(points[:, 0], points[:, 1]))


def find_chips(folder: Path) -> list[Path]:
    """The chip files of a folder and its subfolders, by name; a single file stands for itself.

    Raises:
        RefusedError: there is no such path, or no .tif, .tiff or .png in it.
    """
    if folder.is_file():
        if folder.suffix.lower() in SUFFIXES:
            return [folder]
        raise RefusedError(f"chips {folder}", ["the file is neither .tif, .tiff nor .png"])
    if not folder.is_dir():
        raise RefusedError(f"chips {folder}", ["there is no such folder"])
    try:
        found = sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
        )
    except OSError as error:
        raise RefusedError(f"chips {folder}", [f"the folder cannot be read: {error.strerror}"]) from error
    if not found:
        raise RefusedError(f"chips {folder}", ["the folder holds no .tif, .tiff or .png file"])
    return found


def read_frame(path: Path) -> Frame:
    """The georeference of a chip, without reading its pixels.

    Raises:
        RefusedError: the file is no image, or nothing says where it lies.
    """
    with _open(path) as source:
        return _frame_of(path, source)


def read_chip(path: Path) -> Chip:
    """A chip with its pixels; grey images and images with a palette become RGB, further bands are left out.

    Raises:
        RefusedError: the file is no readable 8-bit image, or nothing says where it lies.
    """
    with _open(path) as source:
        frame = _frame_of(path, source)
        return Chip(path, _rgb(path, source), frame.transform, frame.crs)


def inspect_chips(folder: Path) -> ChipsSummary:
    """Read every chip of a folder once, and say what they are and where.

    Raises:
        RefusedError: one error that names every chip that cannot be used.
    """
    problems: list[str] = []
    frames: list[Frame] = []
    for path in find_chips(folder):
        try:
            frames.append(read_chip(path).frame)
        except RefusedError as error:
            problems += [f"{path.name}: {problem}" for problem in error.problems]
    if problems:
        raise RefusedError(f"chips {folder}", problems)
    return summarize(frames)


def summarize(frames: Sequence[Frame]) -> ChipsSummary:
    """Count, sizes, bounding box [west, south, east, north] and footprint of at least one chip."""
    import numpy as np
    import shapely

    sizes: dict[tuple[int, int], int] = {}
    for frame in frames:
        size = (frame.width, frame.height)
        sizes[size] = sizes.get(size, 0) + 1
    bounds = np.array([frame.bounds for frame in frames])
    bbox = [*bounds[:, :2].min(axis=0).tolist(), *bounds[:, 2:].max(axis=0).tolist()]
    # Neighbours differ by parts of a pixel; rounding to 7 decimals (1 cm) lets them meet.
    boxes = shapely.set_precision([shapely.Polygon(frame.corners_in(LONLAT)) for frame in frames], 1e-7)
    footprint = shapely.union_all(boxes, grid_size=1e-7)
    if shapely.get_num_coordinates(footprint) > _MAX_CORNERS:
        footprint = footprint.convex_hull
    footprint = shapely.orient_polygons(shapely.simplify(footprint, 2e-7))
    # Through text: GeoJSON in memory has lists, shapely gives tuples.
    geometry: dict[str, Any] = json.loads(shapely.to_geojson(footprint))
    return ChipsSummary(len(frames), sizes, bbox, geometry)


def chip_grid_position(frame: Frame) -> tuple[int, int]:
    """Column (west to east) and row (north to south) of a chip in the grid of equally large chips.

    For chips cut along XYZ tiles these are the tile's x and y. The origin is that of EPSG:3857, so that
    positions are comparable only among chips of one size.
    """
    west, south, east, north = frame.mercator_bounds
    column = ((west + east) / 2 + _MERCATOR_EDGE) // (east - west)
    row = (_MERCATOR_EDGE - (south + north) / 2) // (north - south)
    return int(column), int(row)


def _wkt(crs: Any) -> str:
    return crs if isinstance(crs, str) else str(crs.to_wkt())


@lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> Any:
    """Building one takes milliseconds and every chip asks for the same; None where nothing changes."""
    from pyproj import CRS, Transformer

    start, end = CRS.from_user_input(source), CRS.from_user_input(target)
    # The axis order of the definition does not matter: always_xy below.
    same = start.equals(end, ignore_axis_order=True)
    return None if same else Transformer.from_crs(start, end, always_xy=True)


def _bounds_of(points: "NDArray[np.float64]") -> Bounds:
    (west, south), (east, north) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return west, south, east, north


def _open(path: Path) -> Any:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    if not path.is_file():
        raise RefusedError(f"chip {path}", ["there is no such file"])
    try:
        with warnings.catch_warnings():
            # A chip without a georeference inside is normal here: the tile name may hold it.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return rasterio.open(path)
    except (RasterioError, OSError) as error:
        raise RefusedError(f"chip {path}", ["the file is not an image that can be read, or is damaged"]) from error


def _frame_of(path: Path, source: Any) -> Frame:
    from rasterio.crs import CRS
    from rasterio.transform import from_bounds

    if source.crs is not None and not source.transform.is_identity:
        return Frame(path, source.width, source.height, source.transform, source.crs)
    tile = tile_of_name(path.name)
    if tile is None:
        problem = (
            "nothing says where the chip lies: no georeference inside, no .aux.xml sidecar, "
            "and the name is not OAM-{x}-{y}-{z}"
        )
        raise RefusedError(f"chip {path}", [problem])
    transform = from_bounds(*tile.mercator_bounds, source.width, source.height)
    return Frame(path, source.width, source.height, transform, CRS.from_epsg(3857))


def _rgb(path: Path, source: Any) -> "NDArray[np.uint8]":
    import numpy as np
    from rasterio.errors import RasterioError

    wrong = sorted({dtype for dtype in source.dtypes[:BANDS] if dtype != "uint8"})
    if wrong:
        raise RefusedError(f"chip {path}", [f"pixels are {', '.join(wrong)}; chips hold 8-bit RGB"])
    if source.driver == "PNG":
        _verify_png(path)
    try:
        if source.count >= BANDS:
            rgb: NDArray[np.uint8] = source.read([1, 2, 3])
            return rgb
        first = source.read(1)
        if source.colorinterp[0].name == "palette":
            table = np.zeros((256, BANDS), dtype=np.uint8)
            for value, color in source.colormap(1).items():
                table[value] = color[:BANDS]
            return np.ascontiguousarray(table[first].transpose(2, 0, 1))
        return np.repeat(first[np.newaxis], BANDS, axis=0)
    except (RasterioError, OSError, ValueError) as error:
        raise RefusedError(f"chip {path}", ["the image data is damaged or cut off"]) from error


def _verify_png(path: Path) -> None:
    """GDAL reads what there is of a PNG that was cut off, and leaves the rest to chance."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.verify()
    except (OSError, SyntaxError, ValueError) as error:
        raise RefusedError(f"chip {path}", ["the image data is damaged or cut off"]) from error

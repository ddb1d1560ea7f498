"""Class masks of chips to GeoJSON polygons, merged across chip borders.

Everything is joined in EPSG:3857, where the pixels of neighbouring chips are squares of one size. How the
masks come about does not belong here.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fair_dagster.imagery.chips import LONLAT, MERCATOR, Frame, project

# Neighbours whose georeferences leave a gap (or overlap) of up to half a pixel still touch.
_GAP_PIXELS = 0.5
# Each side grows by a little more than half of that, so that the gap closes, and shrinks back afterwards.
_GROWTH_PIXELS = 0.3
_DECIMALS = 7


@dataclass(frozen=True)
class ClassMask:
    """What a model says of one chip.

    ``classes`` is uint8 [H, W], 0 is background; ``confidence`` is float32 [H, W], 0 to 1.
    """

    frame: Frame
    classes: NDArray[np.uint8]
    confidence: NDArray[np.float32]


@dataclass(frozen=True)
class _MaskPart:
    """A polygon of one chip in EPSG:3857; ``pixel`` is the width of a pixel there.

    ``rim`` is what of it lies along the border of the chip; None where it does not reach the border.
    """

    geometry: Any
    class_value: int
    confidence: float
    pixel: float
    rim: Any = None


def vectorize(
    masks: Iterable[ClassMask],
    class_names: Mapping[int, str],
    *,
    min_area_m2: float = 0.0,
    simplify_m: float = 0.0,
) -> dict[str, Any]:
    """Polygons of all chips as a GeoJSON FeatureCollection (RFC 7946).

    Coordinates are EPSG:4326 with 7 decimals, rings follow the right-hand rule. Polygons of one class that
    meet at a chip border become one. Each feature has ``class`` (value), ``label`` (name), ``confidence``
    (mean over its pixels) and ``area_m2`` (geodesic).

    Args:
        masks: one a chip, of chips that do not overlap by more than half a pixel; consumed one at a time.
        class_names: by class value.
        min_area_m2: smaller polygons are left out and smaller holes filled.
        simplify_m: how far an outline may move, in metres on the ground; 0 keeps the pixel steps.
    """
    inner: list[_MaskPart] = []
    border: list[_MaskPart] = []
    for mask in masks:
        for part in _parts(mask, min_area_m2):
            (inner if part.rim is None else border).append(part)
    merged = [_finished(part, min_area_m2, simplify_m) for part in [*inner, *_merged(border)]]
    features = [
        feature
        for part, geometry in merged
        for feature in _features(geometry, part, class_names.get(part.class_value, str(part.class_value)), min_area_m2)
    ]
    # North to south, west to east: the same masks in another order give the same document.
    features.sort(key=lambda feature: _sort_key(feature["geometry"]["coordinates"][0]))
    return {"type": "FeatureCollection", "features": features}


def ground_scale(frame: Frame) -> float:
    """Metres on the ground for a metre of EPSG:3857 at the middle of a chip."""
    _, south, _, north = frame.bounds
    return float(np.cos(np.radians((south + north) / 2)))


def _parts(mask: ClassMask, min_area_m2: float) -> Iterable[_MaskPart]:
    """The regions of one chip, without those that are too small and cannot grow beyond a border."""
    import shapely
    from rasterio.features import shapes
    from shapely.geometry import shape

    frame = mask.frame
    regions, class_of = _regions(mask.classes)
    if not class_of:
        return
    pixel_m2 = (frame.mercator_pixel * ground_scale(frame)) ** 2
    sizes = np.bincount(regions.ravel(), minlength=len(class_of) + 1)
    outermost = np.concatenate((regions[0], regions[-1], regions[:, 0], regions[:, -1]))
    at_border = np.zeros(len(sizes), dtype=bool)
    at_border[outermost] = True
    kept = at_border | (sizes * pixel_m2 >= min_area_m2)
    kept[0] = False
    confidences = np.bincount(regions.ravel(), weights=mask.confidence.ravel()) / np.maximum(sizes, 1)
    border = _border(frame)
    for geometry, value in shapes(regions, mask=kept[regions], connectivity=4, transform=frame.transform):
        number = int(value)
        polygon = shapely.transform(shape(geometry), lambda points: project(points, frame.crs, MERCATOR))
        rim = polygon.intersection(border) if at_border[number] else None
        yield _MaskPart(polygon, class_of[number - 1], float(confidences[number]), frame.mercator_pixel, rim)


def _border(frame: Frame) -> Any:
    """The outermost pixels of a chip as a frame-shaped polygon in EPSG:3857."""
    import shapely

    footprint = shapely.Polygon(frame.corners_in(MERCATOR))
    # Outwards as well, so that rounded coordinates cannot fall off its edge.
    outer = shapely.buffer(footprint, frame.mercator_pixel, join_style="mitre")
    return outer.difference(shapely.buffer(footprint, -frame.mercator_pixel, join_style="mitre"))


def _regions(classes: NDArray[np.uint8]) -> tuple[NDArray[np.int32], list[int]]:
    """Connected regions (4 neighbours) numbered from 1, int32 [H, W], and the class of each."""
    from scipy import ndimage

    regions = np.zeros(classes.shape, dtype=np.int32)
    class_of: list[int] = []
    for value in np.unique(classes[classes > 0]).tolist():
        found, count = ndimage.label(classes == value)
        regions[found > 0] = found[found > 0] + len(class_of)
        class_of += [value] * count
    return regions, class_of


def _merged(parts: list[_MaskPart]) -> list[_MaskPart]:
    """Parts that meet across a chip border, joined; the confidence is the area-weighted mean."""
    import shapely
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not parts:
        return []
    rims = np.array([part.rim for part in parts], dtype=object)
    reach = _GAP_PIXELS * max(part.pixel for part in parts)
    left, right = shapely.STRtree(rims).query(rims, predicate="dwithin", distance=reach)
    classes = np.array([part.class_value for part in parts])
    same = classes[left] == classes[right]
    pairs = (np.ones(int(same.sum())), (left[same], right[same]))
    count, group_of = connected_components(coo_array(pairs, shape=(len(parts), len(parts))), directed=False)
    groups: list[list[_MaskPart]] = [[] for _ in range(count)]
    for part, group in zip(parts, group_of.tolist(), strict=True):
        groups[group].append(part)
    return [joined for group in groups for joined in (_joined(group) if len(group) > 1 else group)]


def _joined(group: list[_MaskPart]) -> list[_MaskPart]:
    """The union of parts with the gaps between them closed.

    Usually one polygon. Parts that only meet at a corner stay apart, as they would inside a chip. Only the rims
    are grown and shrunk: on whole outlines, which run along thousands of pixels, that takes seconds.
    """
    import shapely

    pixel = max(part.pixel for part in group)
    growth = _GROWTH_PIXELS * pixel
    grown = shapely.buffer([part.rim for part in group], growth, join_style="mitre")
    # Shrinking by a hair more than growing, then growing that hair, parts what only meets at a corner.
    hair = pixel / 10
    seams = shapely.buffer(shapely.union_all(grown), -growth - hair, join_style="mitre")
    bridges = shapely.buffer(seams, hair, join_style="mitre")
    # On a grid of a hundredth of a pixel edges that ought to coincide do, and leave no slivers.
    union = shapely.union_all([*(part.geometry for part in group), bridges], grid_size=pixel / 100)
    pieces = shapely.get_parts(union)
    joined = []
    for piece in pieces:
        members = [part for part in group if piece.intersects(part.geometry.representative_point())]
        if not members:
            continue
        weights = [part.geometry.area for part in members]
        confidence = float(np.average([part.confidence for part in members], weights=weights))
        joined.append(_MaskPart(piece, members[0].class_value, confidence, pixel))
    return joined


def _finished(part: _MaskPart, min_area_m2: float, simplify_m: float) -> tuple[_MaskPart, Any]:
    """A part with small holes filled and the outline simplified, still in EPSG:3857."""
    import shapely

    latitude = project(np.array([part.geometry.centroid.coords[0]]), MERCATOR, LONLAT)[0, 1]
    scale = float(np.cos(np.radians(latitude)))
    geometry = part.geometry
    if min_area_m2 > 0 and geometry.interiors:
        holes = [ring for ring in geometry.interiors if shapely.Polygon(ring).area * scale**2 >= min_area_m2]
        geometry = shapely.Polygon(geometry.exterior, holes)
    return part, shapely.simplify(geometry, simplify_m / scale) if simplify_m > 0 else geometry


def _features(geometry: Any, part: _MaskPart, label: str, min_area_m2: float) -> list[dict[str, Any]]:
    """Features of a geometry in EPSG:3857: one, or more where rounding to 7 decimals pinches it apart."""
    import shapely
    from pyproj import Geod

    lonlat = shapely.transform(geometry, lambda points: project(points, MERCATOR, LONLAT))
    rounded = shapely.set_precision(lonlat, 10.0**-_DECIMALS)
    features = []
    for polygon in shapely.get_parts(shapely.orient_polygons(rounded)):
        if polygon.geom_type != "Polygon" or polygon.is_empty:
            continue
        area, _ = Geod(ellps="WGS84").geometry_area_perimeter(polygon)
        if area < min_area_m2:
            continue
        properties = {
            "class": part.class_value,
            "label": label,
            "confidence": round(part.confidence, 4),
            "area_m2": round(area, 2),
        }
        features.append({"type": "Feature", "properties": properties, "geometry": _geojson(polygon)})
    return features


def _geojson(polygon: Any) -> dict[str, Any]:
    """The polygon as GeoJSON with lists for coordinates, each number at most 7 decimals long."""
    rings = [polygon.exterior, *polygon.interiors]
    coordinates = [np.round(np.asarray(ring.coords), _DECIMALS).tolist() for ring in rings]
    return {"type": "Polygon", "coordinates": coordinates}


def _sort_key(ring: list[list[float]]) -> tuple[float, float, str]:
    longitudes, latitudes = zip(*ring, strict=True)
    return -max(latitudes), min(longitudes), json.dumps(ring)

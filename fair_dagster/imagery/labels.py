"""Labels: reading GeoJSON, checking it against the chips, and burning it into masks.

Coordinates are longitude, latitude (EPSG:4326). What a label means to a model does not belong here.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fair_dagster.domain.errors import RefusedError
from fair_dagster.imagery.chips import LONLAT, Chip, Frame, project

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIXES = frozenset({".geojson", ".json"})
# Names under which GeoJSON writers of before RFC 7946 declare longitude/latitude.
_LONLAT_NAMES = ("CRS84", "EPSG::4326", "EPSG:4326")
_MAX_NAMED = 5


@dataclass(frozen=True)
class Label:
    """One labelled object: a valid shapely geometry in EPSG:4326, longitude before latitude."""

    geometry: Any
    properties: dict[str, Any]


class LabelIndex:
    """Labels in a spatial index, built once, to be burned into the masks of many chips."""

    def __init__(self, labels: Sequence[Label]) -> None:
        import numpy as np
        from shapely import STRtree

        self._geometries = np.array([label.geometry for label in labels], dtype=object)
        self._tree = STRtree(self._geometries)

    def mask(self, chip: Chip | Frame) -> "NDArray[np.uint8]":
        """uint8 [H, W]: 1 where the centre of a pixel lies in a label, else 0."""
        import numpy as np
        import shapely
        from rasterio.features import rasterize

        frame = chip.frame if isinstance(chip, Chip) else chip
        shape = (frame.height, frame.width)
        hits = self._geometries[self._tree.query(shapely.box(*frame.bounds))]
        if len(hits) == 0:
            return np.zeros(shape, dtype=np.uint8)
        burned = shapely.transform(hits, lambda points: project(points, LONLAT, frame.crs))
        mask: NDArray[np.uint8] = rasterize(burned, out_shape=shape, transform=frame.transform, dtype="uint8")
        return mask


def find_labels(path: Path) -> Path:
    """The GeoJSON file itself, or the only one of a folder.

    Raises:
        RefusedError: there is none, or more than one.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise RefusedError(f"labels {path}", ["there is no such file"])
    found = sorted(file for file in path.rglob("*.geojson") if file.is_file())
    if len(found) != 1:
        names = ", ".join(file.name for file in found[:_MAX_NAMED])
        problem = f"the folder holds {len(found)} .geojson files ({names})" if found else "the folder holds no .geojson"
        raise RefusedError(f"labels {path}", [f"{problem}; name one file"])
    return found[0]


def read_labels(path: Path) -> list[Label]:
    """The labels of a GeoJSON FeatureCollection (RFC 7946), geometries repaired where they were invalid.

    Features without a geometry are left out. ``path`` may be a folder that holds one .geojson.

    Raises:
        RefusedError: no JSON, no FeatureCollection, another reference system, or geometries that are none.
    """
    from shapely.errors import ShapelyError

    file = find_labels(path)
    document = _load(file)
    subject = f"labels {file}"
    if not isinstance(document, dict) or document.get("type") != "FeatureCollection":
        raise RefusedError(subject, ["the file is not a GeoJSON FeatureCollection"])
    features = document.get("features")
    if not isinstance(features, list):
        raise RefusedError(subject, ["the FeatureCollection has no list of features"])
    problems = _reference_problems(document)
    labels: list[Label] = []
    for number, feature in enumerate(features):
        try:
            labels += _labels_of(feature)
        except (ShapelyError, TypeError, ValueError, AttributeError, LookupError) as error:
            problems.append(f"feature {number} has no usable geometry: {error}")
    if problems:
        raise RefusedError(subject, problems)
    return labels


def check_labels(
    labels: Sequence[Label],
    bbox: Sequence[float],
    *,
    geometry: str | None = "polygon",
    subject: str = "labels",
) -> None:
    """Make sure that there are labels, of the right kind, on the chips.

    Args:
        labels: what ``read_labels`` gave.
        bbox: of the chips: west, south, east, north in degrees.
        geometry: ``polygon``, ``line``, ``point``, or None for any.
        subject: what the error shall name.

    Raises:
        RefusedError: with every reason.
    """
    import numpy as np
    import shapely

    if not labels:
        raise RefusedError(subject, ["there are no features with a geometry"])
    problems = []
    if geometry is not None:
        others = sorted({kind for label in labels if (kind := _kind(label)) != geometry})
        if others:
            problems.append(f"the geometry has to be {geometry}; found {', '.join(others)}")
    geometries = np.array([label.geometry for label in labels], dtype=object)
    west, south, east, north = bbox
    if not shapely.intersects(geometries, shapely.box(west, south, east, north)).any():
        where = np.round(shapely.total_bounds(geometries), 5).tolist()
        chips = np.round(np.asarray(bbox, dtype=float), 5).tolist()
        problems.append(
            f"no label lies on the chips: labels {where}, chips {chips} (west, south, east, north in degrees)"
        )
    if problems:
        raise RefusedError(subject, problems)


def _load(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RefusedError(f"labels {file}", [f"the file cannot be read: {error.strerror}"]) from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(f"labels {file}", [f"the file is not JSON: {error}"]) from error


def _reference_problems(document: dict[str, Any]) -> list[str]:
    declared = document.get("crs")
    if not isinstance(declared, dict):
        return []
    properties = declared.get("properties")
    name = str(properties.get("name", "")) if isinstance(properties, dict) else ""
    if not name or name.endswith(_LONLAT_NAMES):
        return []
    return [f"the file declares {name}; write it in longitude and latitude (EPSG:4326)"]


def _labels_of(feature: dict[str, Any]) -> list[Label]:
    import numpy as np
    import shapely
    from shapely.geometry import shape

    if feature["geometry"] is None:
        return []
    geometry = shape(feature["geometry"])
    if not np.isfinite(shapely.get_coordinates(geometry)).all():
        raise ValueError("a coordinate is not a finite number")
    areal = geometry.geom_type in {"Polygon", "MultiPolygon"}
    repaired = geometry if geometry.is_valid else shapely.make_valid(geometry)
    if areal and repaired.geom_type == "GeometryCollection":
        # Repairing a bow-tie may leave lines beside the polygons; a polygon label stays a polygon.
        parts = shapely.get_parts(repaired)
        repaired = shapely.union_all([part for part in parts if part.geom_type.endswith("Polygon")])
    if repaired.is_empty:
        return []
    return [Label(repaired, dict(feature.get("properties") or {}))]


def _kind(label: Label) -> str:
    name: str = label.geometry.geom_type.removeprefix("Multi")
    return {"Polygon": "polygon", "LineString": "line", "Point": "point"}.get(name, name)

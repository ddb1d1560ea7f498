"""What ``Fair`` returns, in the form of other libraries: pystac, pandas, GeoPandas. Each is imported when asked for."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fair_dagster.domain import items
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.links import key_of
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.findings import Finding
from fair_dagster.domain.requests import FinetuneRequest
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.oci.crawl.walking import FoundArtifact
from fair_dagster.orchestration.runs.run import Run

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd
    import pystac

    from fair_dagster.fair.items import Items

Row = dict[str, Any]

_TIMES = ("datetime", "start_datetime", "end_datetime", "created", "updated", "started", "ended")
_COUNTS = ("version", "number", "base_model_version", "dataset_version", "done", "total", "size")
_NUMBERS = ("west", "south", "east", "north", "seconds")
_METRIC = "metric "


def to_pystac(item: Item, fair: "Items | None" = None) -> "pystac.Item":
    """An item as ``pystac.Item``. Nothing is fetched, and the item stays as it is.

    Args:
        fair: the installation that the item is of: tells where the item and those that it links to are. Without it,
            they are named ``catalog://<collection>/<id>``, which no reader of STAC follows.

    Raises:
        pystac.STACError: it is no item.
    """
    import pystac

    found = pystac.Item.from_dict(item, migrate=False)
    if fair is not None:
        found.set_self_href(fair.href(item))
        for link in found.links:
            if (key := key_of(link.href)) is not None:
                link.target = fair.href({"collection": key.collection, "id": key.id})
    return found


def to_frame(
    rows: "Iterable[Item] | Iterable[VersionRecord] | Iterable[Run] | Iterable[FoundArtifact] | Iterable[Finding]",
) -> "pd.DataFrame":
    """Items, versions, runs, artifacts of a crawl, or findings as a table, a row each, indexed by id or reference.

    Times are ``datetime64`` in UTC, metrics and degrees ``float64``, version numbers and bytes ``Int64``; what a row
    does not have is NA. Metrics are columns ``metric <name>``, overrides of a finetune ``set <name>``, custom
    properties of an artifact ``customProperties.<name>``.

    Raises:
        TypeError: rows are of several kinds, or of another one.
    """
    given = list(rows)
    kinds = {kind for kind in _KINDS if any(isinstance(row, kind) for row in given)}
    strangers = [row for row in given if not isinstance(row, tuple(_KINDS))]
    if strangers or len(kinds) > 1:
        names = sorted({type(row).__name__ for row in given})
        raise TypeError(
            f"rows are of one kind, items, versions, runs, artifacts or findings, and not {', '.join(names)}"
        )
    import pandas as pd

    if not given:
        return pd.DataFrame()
    (kind,) = kinds
    to_row, index = _KINDS[kind]
    frame = pd.DataFrame([to_row(row) for row in given])
    for name in frame.columns:
        frame[name] = _typed(str(name), frame[name])
    return frame.set_index(index) if index else frame


def read_predictions(path: Path) -> "gpd.GeoDataFrame":
    """The features of a prediction as a ``GeoDataFrame`` in EPSG:4326: geometries in longitude and latitude.

    Args:
        path: the GeoJSON file that ``Fair.predict`` has written; ``Started.wait`` returns it.

    Raises:
        RefusedError: GeoPandas is not installed, or it is no such file.
    """
    try:
        import geopandas as gpd
    except ModuleNotFoundError as error:
        problem = f"the package {error.name!r} is not installed: pip install 'fair-dagster[geo]'"
        raise RefusedError("predictions as a GeoDataFrame", [problem]) from error
    try:
        document = json.loads(Path(path).read_bytes())
        features = document["features"]
    except OSError as error:
        raise RefusedError(f"predictions {path}", [f"cannot be read: {error.strerror or error}"]) from error
    except (ValueError, TypeError, KeyError) as error:
        raise RefusedError(f"predictions {path}", ["it is no GeoJSON with features"]) from error
    if not features:
        # Without a feature GeoPandas finds no column of geometries.
        return gpd.GeoDataFrame(geometry=[], crs="EPSG:4326")
    return gpd.GeoDataFrame.from_features(features, crs="EPSG:4326")


def _item_row(item: Item) -> Row:
    properties = item["properties"]
    bbox = item.get("bbox") or [None] * 4
    # Of six numbers, the third and the last are heights.
    flat = [*bbox[:2], *bbox[3:5]] if len(bbox) == 6 else bbox
    row = {
        "id": item["id"],
        "collection": item.get("collection"),
        "version": items.number_of(item) if "version" in properties else None,
        "active": items.is_active(item),
        "title": properties.get("title"),
        "keywords": properties.get("keywords"),
        "license": properties.get("license"),
        **{name: properties.get(name) for name in _TIMES if name in properties},
        **dict(zip(_NUMBERS, flat, strict=False)),
    }
    return row | _prefixed(_METRIC, properties.get("fair:metrics"))


def _version_row(version: VersionRecord) -> Row:
    request, training = FinetuneRequest.of(version), version.training
    row: Row = {
        "id": version.id,
        "model": version.name,
        "number": version.number,
        "stage": version.stage,
        "created": version.created,
        "updated": version.updated,
        "seconds": training.wall_seconds,
    }
    for name in ("base_model", "base_model_version", "dataset", "dataset_version", "user", "rerun_of"):
        row[name] = getattr(request, name, None)
    overrides = request.overrides if request else {}
    return row | _prefixed("set ", overrides) | _prefixed(_METRIC, training.metrics)


def _run_row(run: Run) -> Row:
    done, total, what = run.progress or (None, None, None)
    end = run.ended or (None if run.finished else datetime.now(UTC))
    return {
        "id": run.id,
        "job": run.job,
        "status": run.status,
        "partition": run.partition,
        "model": run.model,
        "started": run.started,
        "ended": run.ended,
        "seconds": (end - run.started).total_seconds() if run.started and end else None,
        "done": done,
        "total": total,
        "what": what,
    }


def _artifact_row(found: FoundArtifact) -> Row:
    fields = found.fields
    plain = ("registry", "repository", "tag", "digest", "artifact_type", "size", "name", "author", "description")
    row = {"reference": str(found.reference), **{name: fields.get(name) for name in plain}}
    return row | _prefixed("customProperties.", fields.get("customProperties"))


def _prefixed(prefix: str, values: object) -> Row:
    return {f"{prefix}{name}": value for name, value in values.items()} if isinstance(values, Mapping) else {}


def _typed(name: str, values: "pd.Series[Any]") -> "pd.Series[Any]":
    import pandas as pd

    if name in _TIMES:
        return pd.to_datetime(values, utc=True, format="ISO8601")
    if name in _COUNTS:
        return pd.to_numeric(values).astype("Int64")
    if name in _NUMBERS or name.startswith(_METRIC):
        return pd.to_numeric(values, errors="coerce").astype("float64")
    return values


_KINDS: Mapping[type, tuple[Callable[[Any], Row], str | None]] = {
    dict: (_item_row, "id"),
    VersionRecord: (_version_row, "id"),
    Run: (_run_row, "id"),
    FoundArtifact: (_artifact_row, "reference"),
    Finding: (Finding.row, None),
}

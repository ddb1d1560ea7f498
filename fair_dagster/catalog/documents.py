"""The catalog and collection documents: made, kept in step with changes, recomputed.

Pure functions over STAC JSON. The stores read and write.
"""

import copy
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from fair_dagster.domain.items.damage import DocumentProblem, collection_problem
from fair_dagster.domain.items.fields import BASE_MODELS, COLLECTIONS, DATASETS, LOCAL_MODELS
from fair_dagster.domain.items.links import STRUCTURAL
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import Change

Document = dict[str, Any]

JSON = "application/json"
_GEOJSON = "application/geo+json"
CATALOG_FILE = "catalog.json"
COLLECTION_FILE = "collection.json"
CATALOG_ID = "fair-models"
ITEM_COUNT = "fair:item_count"
CATALOG_UID = "fair:catalog"
_WORLD = [-180.0, -90.0, 180.0, 90.0]
_TEXTS = {
    BASE_MODELS: ("Base models", "Models that contributors offer to be finetuned on local imagery."),
    LOCAL_MODELS: (
        "Local models",
        "Finetuned versions that were promoted to production, current and former.",
    ),
    DATASETS: ("Datasets", "Image chips with labels that base models are finetuned on."),
}
_SUMMARIZED = (
    "license",
    "mlm:architecture",
    "mlm:framework",
    "mlm:tasks",
    "label:tasks",
    "label:type",
    "label:methods",
)
_TIME_FIELDS = ("datetime", "start_datetime", "end_datetime")
READ_FIELDS = (*_SUMMARIZED, *_TIME_FIELDS, "keywords")
"""The properties of items that documents are computed from."""


def new_catalog() -> Document:
    """The root document with links to all collections."""
    import pystac

    catalog = pystac.Catalog(
        id=CATALOG_ID,
        title="fAIr models",
        description="Open models for mapping from aerial imagery, and the datasets they learned from.",
    )
    document: Document = catalog.to_dict(include_self_link=False)
    children = [
        {"rel": "child", "href": f"./{name}/{COLLECTION_FILE}", "type": JSON, "title": _TEXTS[name][0]}
        for name in COLLECTIONS
    ]
    document["links"] = [{"rel": "root", "href": f"./{CATALOG_FILE}", "type": JSON}, *children]
    return document


def new_collection(name: str) -> Document:
    """An empty collection. Its extent is the world, because STAC wants one; the first item replaces it."""
    import pystac

    title, description = _TEXTS[name]
    extent = pystac.Extent(pystac.SpatialExtent([_WORLD]), pystac.TemporalExtent([[None, None]]))
    collection = pystac.Collection(id=name, title=title, description=description, extent=extent, license="other")
    document: Document = collection.to_dict(include_self_link=False)
    document["links"] = structure()
    document[ITEM_COUNT] = 0
    return document


def new_shared_collection(name: str, catalog: str) -> Document:
    """An empty collection for a STAC API, which adds the structural links itself.

    Its extent holds every item, and there is no count yet: both are found by ``describe_collection``.

    Args:
        catalog: the identity of the catalog, by which an API and a database are known to hold the same one.
    """
    document = new_collection(name) | {"links": [], CATALOG_UID: catalog}
    del document[ITEM_COUNT]
    return document


def structure() -> list[dict[str, Any]]:
    """The links of a collection document to the document above it."""
    return [{"rel": rel, "href": f"../{CATALOG_FILE}", "type": JSON} for rel in ("root", "parent")]


def without_structure(document: Document) -> Document:
    """``document`` as callers see it: without links that only say where files stand."""
    links = [link for link in document.get("links", []) if link.get("rel") not in STRUCTURAL]
    return document | {"links": links}


def item_link(item: Item, key: ItemKey) -> dict[str, Any]:
    """The link of a collection document to an item. Items stand in folders of their own beside it."""
    link = {"rel": "item", "href": f"./{key.id}/{key.id}.json", "type": _GEOJSON}
    title = item.get("properties", {}).get("title")
    return link | {"title": title} if title else link


def after_changes(document: Document, changes: Sequence[Change], now: datetime) -> Document:
    """``document`` with the item links, the count, the extent and the summaries that ``changes`` bring.

    Extent and summaries only grow here: ``recompute_document`` finds what a deleted item leaves. Changes ``document``.
    """
    links: list[dict[str, Any]] = document["links"]
    count = sum([link["rel"] == "item" for link in links])
    gone = {item_link({}, change.key)["href"] for change in changes if change.action == "delete"}
    wanted = {link["href"]: link for link in (item_link(c.item, c.key) for c in changes if c.item is not None)}
    kept = [wanted.pop(link["href"], link) for link in links if link["href"] not in gone]
    document["links"] = [*kept, *wanted.values()]
    document[ITEM_COUNT] = count - (len(links) - len(kept)) + len(wanted)
    present = [change.item for change in changes if change.item is not None]
    document["extent"] = _extent(present, document["extent"] if count else None)
    _summarize(document, present, known=document if count else {})
    document["updated"] = _stamp(now)
    return document


def recompute_document(
    document: Document, items: Iterable[Item], now: datetime, unreadable: Sequence[ItemKey] = ()
) -> Document:
    """``document`` computed anew from all its items; ``updated`` moves only with something else.

    Args:
        unreadable: items that are there and say nothing; they are linked and counted.
    """
    name = str(document["id"])
    found = list(items)
    own = [link for link in document["links"] if link.get("rel") not in STRUCTURAL]
    item_links = [item_link(item, ItemKey(name, item["id"])) for item in found]
    item_links += [item_link({}, key) for key in unreadable]
    fresh = copy.deepcopy(document)
    fresh["links"] = [*structure(), *own, *item_links]
    fresh["extent"] = _extent(found, None)
    fresh[ITEM_COUNT] = len(item_links)
    _summarize(fresh, found, known={})
    # The order of item links is history, not content.
    if _comparable(fresh) == _comparable(document):
        return document
    return fresh | {"updated": _stamp(now)}


def describe_collection(document: Document, chunks: Iterable[tuple[Sequence[Item], int]], now: datetime) -> Document:
    """``document`` with count, extent and summaries of all its items; ``updated`` moves only with something else.

    Args:
        chunks: some items, each with its ``bbox`` and its ``READ_FIELDS`` at least, and how many more say nothing.
    """
    fresh = {name: value for name, value in document.items() if name not in {"summaries", "keywords"}}
    extent, count = None, 0
    for readable, unreadable in chunks:
        extent = _extent(readable, extent) if readable else extent
        _summarize(fresh, readable, known=fresh)
        count += len(readable) + unreadable
    fresh |= {"extent": extent or _extent([], None), ITEM_COUNT: count}
    return document if _comparable(fresh) == _comparable(document) else fresh | {"updated": _stamp(now)}


def widen_document(document: Document, items: Sequence[Item], now: datetime) -> Document | None:
    """``document`` with an extent and summaries that hold ``items`` too; None where they do already.

    A damaged document is left as it is: reconciliation reports it, and no promotion has to wait for that.
    An interval that ends too early is left open: nearly every new item is the newest one, and would move its end.
    """
    if collection_problem(document, str(document.get("id"))) is not None:
        return None
    fresh = copy.deepcopy(document)
    _summarize(fresh, items, known=document)
    own = _extent(items, None)
    if items and not covers(document["extent"], own):
        fresh["extent"] = _extent(items, document["extent"])
        interval = fresh["extent"]["temporal"]["interval"][0]
        known = document["extent"]["temporal"]["interval"][0]
        fresh["extent"]["temporal"]["interval"] = [
            [interval[0] if known[0] else None, interval[1] if interval[1] == known[1] else None]
        ]
    return None if fresh == document else fresh | {"updated": _stamp(now)}


def find_narrow_fields(document: Document, described: Document) -> list[str]:
    """The fields of ``document`` that say less than ``described``, which was computed from all items.

    Writes only widen extent, summaries and keywords: wider is no fault. Nor is a count of yesterday: promotions do not
    wait for each other to keep one.
    """
    names = sorted({*document, *described} - {"links", "updated", ITEM_COUNT})
    return [name for name in names if not holds(name, document, described)]


def field_problems(collection: str, fields: Sequence[str]) -> list[DocumentProblem]:
    """What to report of a collection of a server whose ``fields`` say less than its items."""
    problem = DocumentProblem(f"collection {collection}", f"{', '.join(fields)} differ from what the items say")
    return [problem] if fields else []


def holds(name: str, before: Document, after: Document) -> bool:
    """Whether a field says what the items say. Writes only widen extent, summaries and keywords: wider is no fault."""
    old, new = before.get(name), after.get(name)
    if old == new:
        return True
    with suppress(TypeError, ValueError, KeyError, IndexError, AttributeError):
        if name == "keywords":
            return {*(new or [])} <= {*(old or [])}
        if name == "summaries":
            return all({*values} <= {*(old or {}).get(field, [])} for field, values in (new or {}).items())
        if name == "extent" and old and new:
            # The extent of an empty collection is a convention.
            return not after[ITEM_COUNT] or covers(old, new)
    return False


def _summarize(document: Document, items: Sequence[Item], known: Document) -> None:
    """Set summaries and keywords to those of ``items`` and of the document ``known``."""
    former = known.get("summaries", {})
    summaries = {field: sorted({*former.get(field, []), *_distinct(items, field)}) for field in _SUMMARIZED}
    keywords = sorted({*known.get("keywords", []), *_distinct(items, "keywords")})
    found = {"summaries": {field: values for field, values in summaries.items() if values}, "keywords": keywords}
    for field, value in found.items():
        document.pop(field, None)
        if value:
            document[field] = value


def _comparable(document: Document) -> Document:
    links = sorted(document["links"], key=lambda link: (link["rel"], link["href"]))
    return {key: value for key, value in document.items() if key != "updated"} | {"links": links}


def _distinct(items: Iterable[Item], field: str) -> list[Any]:
    values: set[str] = set()
    for item in items:
        value = item["properties"].get(field)
        values.update(str(v) for v in (value if isinstance(value, list) else [value]) if v is not None)
    return sorted(values)


def _extent(items: Sequence[Item], known: Document | None) -> Document:
    """Union of ``known`` and the items: bbox [west, south, east, north] in degrees, interval in RFC 3339."""
    boxes = [_flat(item["bbox"]) for item in items if item.get("bbox")]
    times = [time for item in items for time in _times(item["properties"])]
    if known:
        boxes.append(_flat(known["spatial"]["bbox"][0]))
        times += [time for time in known["temporal"]["interval"][0] if time]
    box = _WORLD
    if boxes:
        west, south, east, north = zip(*boxes, strict=True)
        box = [min(west), min(south), max(east), max(north)]
    interval = [min(times, key=_instant), max(times, key=_instant)] if times else [None, None]
    return {"spatial": {"bbox": [box]}, "temporal": {"interval": [interval]}}


def covers(extent: Document, other: Document) -> bool:
    """Whether ``extent`` holds all of ``other``, in space and time; an open end holds everything."""
    west, south, east, north = _flat(extent["spatial"]["bbox"][0])
    box = _flat(other["spatial"]["bbox"][0])
    begin, end = extent["temporal"]["interval"][0]
    other_begin, other_end = other["temporal"]["interval"][0]
    return (
        west <= box[0]
        and south <= box[1]
        and east >= box[2]
        and north >= box[3]
        and (begin is None or (other_begin is not None and _instant(begin) <= _instant(other_begin)))
        and (end is None or (other_end is not None and _instant(end) >= _instant(other_end)))
    )


def _flat(bbox: Sequence[float]) -> list[float]:
    """A bbox without heights; one across the antimeridian counts as going around the world."""
    west, south, east, north = bbox if len(bbox) == 4 else (bbox[0], bbox[1], bbox[3], bbox[4])
    return [west, south, east, north] if west <= east else [-180.0, south, 180.0, north]


def _times(properties: dict[str, Any]) -> list[str]:
    return [time for field in _TIME_FIELDS if isinstance(time := properties.get(field), str) and _is_time(time)]


def _is_time(text: str) -> bool:
    try:
        _instant(text)
    except ValueError:
        return False
    return True


def _instant(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _stamp(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

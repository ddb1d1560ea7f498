"""What is wrong with the form of stored documents, before anybody looks at what they say.

An item that fails here cannot be read into memory. Whether an item is valid is the business of validation.
"""

from dataclasses import dataclass
from typing import Any

from fair_dagster.domain.items.stac import Item, ItemKey

REPAIR = "`fair-dagster catalog reconcile --repair` restores what can be restored"


@dataclass(frozen=True)
class DamagedItem:
    """An item whose file cannot be read as one. ``digest`` is that of the bytes, and serves as a precondition."""

    key: ItemKey
    problem: str
    digest: str


@dataclass(frozen=True)
class Scan:
    """All items of a collection: those that can be read, and those that cannot."""

    items: tuple[Item, ...]
    damaged: tuple[DamagedItem, ...] = ()


@dataclass(frozen=True)
class DocumentProblem:
    """How a catalog or collection document differs from what its items want.

    Args:
        document: which one: a path below the catalog's folder, or ``collection <name>`` of a server.
        detail: one clause.
    """

    document: str
    detail: str

    def __str__(self) -> str:
        return f"{self.document}: {self.detail}"


def item_problem(document: Any, item_id: str) -> str | None:
    """Why ``document`` is no item with id ``item_id``; None when it is one."""
    if not isinstance(document, dict):
        return "it holds no JSON object"
    if document.get("id") != item_id:
        return f"it calls itself {document.get('id')!r}"
    properties = document.get("properties")
    if not isinstance(properties, dict):
        return "it has no properties"
    rank = properties.get("fair:promotion", 0)
    if not isinstance(rank, int) or isinstance(rank, bool):
        return f"fair:promotion is {rank!r}, which is no place in an order"
    patched = properties.get("fair:patched", [])
    if not isinstance(patched, list) or not all(isinstance(name, str) for name in patched):
        return "fair:patched is no list of texts"
    return _parts_problem(document) or _box_problem(document.get("bbox"))


def _parts_problem(document: dict[str, Any]) -> str | None:
    if problem := links_problem(document):
        return problem
    extensions = document.get("stac_extensions", [])
    if not isinstance(extensions, list) or not all(isinstance(uri, str) for uri in extensions):
        return "its stac_extensions are no list of texts"
    assets = document.get("assets")
    if not isinstance(assets, dict):
        return "its assets are no object"
    for name, asset in assets.items():
        if not isinstance(asset, dict) or not isinstance(asset.get("href"), str):
            return f"its asset {name!r} has no href"
    return None


def links_problem(document: dict[str, Any]) -> str | None:
    links = document.get("links", [])
    if not isinstance(links, list):
        return "its links are no list"
    for link in links:
        if not isinstance(link, dict) or not isinstance(link.get("href"), str) or not isinstance(link.get("rel"), str):
            return "one of its links has no rel or no href"
    return None


def collection_problem(document: Any, name: str) -> str | None:
    """Why ``document`` is not the collection ``name``; None when it is."""
    if not isinstance(document, dict):
        return "it holds no JSON object"
    if document.get("id") != name:
        return f"it calls itself {document.get('id')!r}"
    if not isinstance(document.get("links"), list):
        return "it has no links"
    return links_problem(document) or _extent_problem(document.get("extent")) or _summaries_problem(document)


def _extent_problem(extent: Any) -> str | None:
    spatial = extent.get("spatial") if isinstance(extent, dict) else None
    temporal = extent.get("temporal") if isinstance(extent, dict) else None
    boxes = spatial.get("bbox") if isinstance(spatial, dict) else None
    intervals = temporal.get("interval") if isinstance(temporal, dict) else None
    if not isinstance(boxes, list) or not boxes or _box_problem(boxes[0]) or not boxes[0]:
        return "its spatial extent is no list of boxes"
    if not isinstance(intervals, list) or not intervals or not isinstance(intervals[0], list):
        return "its temporal extent is no list of intervals"
    return None


def _summaries_problem(document: dict[str, Any]) -> str | None:
    summaries = document.get("summaries", {})
    if not isinstance(summaries, dict) or not isinstance(document.get("keywords", []), list):
        return "its summaries or keywords have another form than STAC's"
    return None


def _box_problem(bbox: Any) -> str | None:
    if bbox is None:
        return None
    numbers = isinstance(bbox, list) and all(isinstance(n, int | float) for n in bbox)
    return None if numbers and len(bbox) in {4, 6} else "its bbox is no list of four or six numbers"

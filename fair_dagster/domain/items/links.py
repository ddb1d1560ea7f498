"""How items of the catalog point at each other, independent of where the catalog is stored.

A link to an item is spelled ``catalog://<collection>/<item id>`` in memory. The link relations are those of
the STAC Version extension 1.2.0 and ``derived_from`` of the STAC best practices.

See docs/decisions/0001.
"""

from collections.abc import Iterable
from typing import Any

from fair_dagster.domain.items.stac import ItemKey

SCHEME = "catalog://"
PREDECESSOR = "predecessor-version"
SUCCESSOR = "successor-version"
LATEST = "latest-version"
DERIVED_FROM = "derived_from"
STRUCTURAL = frozenset({"root", "parent", "collection", "self", "item", "items", "child"})
VERSION_RELS = frozenset({PREDECESSOR, SUCCESSOR, LATEST})
MANAGED_RELS = VERSION_RELS | {DERIVED_FROM}

Link = dict[str, Any]


def href_of(key: ItemKey) -> str:
    return f"{SCHEME}{key.collection}/{key.id}"


def key_of(href: str) -> ItemKey | None:
    """The item a ``catalog://`` href names; None for any other href."""
    if not href.startswith(SCHEME):
        return None
    collection, _, item_id = href.removeprefix(SCHEME).partition("/")
    return ItemKey(collection, item_id)


def link_to(rel: str, key: ItemKey, title: str | None = None) -> Link:
    link: Link = {"rel": rel, "href": href_of(key), "type": "application/geo+json"}
    return link | {"title": title} if title else link


def targets(links: Iterable[Link], rel: str) -> list[ItemKey]:
    """The items that ``links`` of relation ``rel`` point at, in order."""
    keys = (key_of(str(link["href"])) for link in links if link.get("rel") == rel)
    return [key for key in keys if key is not None]

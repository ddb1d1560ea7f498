"""Where items stand in a STAC API, and how their links are spelled there.

Translates items between their form in memory (``catalog://`` links, no structural links) and the form that is stored.
In the database links between items are relative to the root of the API, which makes them absolute for each client by
the address that the client uses (stac-fastapi-pgstac resolves them in every answer): a catalog may move, and have an
internal and a public address. Other servers are given absolute links. Reads and writes nothing.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote, urljoin

from fair_dagster.catalog.json.layout import collection_problems, key_problems
from fair_dagster.catalog.stac_api.spelling import restore_spellings, with_spellings
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.links import STRUCTURAL, Link, href_of, key_of
from fair_dagster.domain.items.stac import Item, ItemKey

# With a host: nobody else spells it so, and a file URL that a user wrote comes back as it was.
_LOCAL_FILE = "file://localhost"


class StacLayout:
    """Addresses below ``url``, the root of the API, and the translation of links.

    Args:
        url: as people configured it.
        announced: gives the root as the API itself spells it in its links, when needed; a proxy may make it differ.
        absolute: store absolute links between items.
    """

    def __init__(self, url: str, *, announced: Callable[[], str] = str, absolute: bool = False) -> None:
        self.url = url.rstrip("/")
        self._announced = announced
        self._absolute = absolute

    @cached_property
    def _roots(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(root.rstrip("/") for root in (self._announced(), self.url) if root))

    def collection_href(self, collection: str) -> str:
        """Raises ``RefusedError`` for an unknown collection."""
        if problems := collection_problems(collection):
            raise RefusedError(f"collection {collection!r}", problems)
        return f"{self.url}/{_collection_path(collection)}"

    def item_href(self, key: ItemKey) -> str:
        """Raises ``RefusedError`` for an id that no catalog can hold."""
        require_key(key)
        return f"{self.url}/{_item_path(key)}"

    def to_stored(self, item: Item, key: ItemKey) -> Item:
        """``item`` as it is stored at ``key``."""
        links = [link for link in item.get("links", []) if link.get("rel") not in STRUCTURAL]
        stored = item | {
            "type": "Feature",
            "collection": key.collection,
            "links": self.links_to_stored(links),
            "assets": item.get("assets", {}),
        }
        return with_spellings(stored)

    def to_memory(self, stored: Item, key: ItemKey) -> Item:
        """The inverse of ``to_stored``, for what the API answers and for what the database holds.

        Changes ``stored``, which the caller has just read, and returns it. A link that was stored relative to nothing
        (``paper.pdf``) comes back as the API shows it: below its root.
        """
        stored["links"] = self.links_to_memory(stored.get("links", []))
        stored.setdefault("assets", {})
        stored["collection"] = key.collection
        restore_spellings(stored)
        return stored

    def links_to_stored(self, links: Sequence[Link]) -> list[Link]:
        """The inverse of ``links_to_memory``, for items and for the documents of collections."""
        return [link | {"href": self._stored_href(str(link["href"]))} for link in links]

    def links_to_memory(self, links: Sequence[Link]) -> list[Link]:
        own = [link for link in links if link.get("rel") not in STRUCTURAL]
        return [link | {"href": self._href_to_memory(str(link["href"]))} for link in own]

    def without_served(self, document: dict[str, Any]) -> dict[str, Any]:
        """A collection document without the links that the API adds to each: to itself, its items, its queryables."""
        paths = tuple(f"{root}/{_collection_path(str(document['id']))}/" for root in self._roots)
        links = self.links_to_memory(document.get("links", []))
        return document | {"links": [link for link in links if not str(link["href"]).startswith(paths)]}

    def _stored_href(self, href: str) -> str:
        key = key_of(href)
        if key is not None:
            return f"{self._roots[0]}/{_item_path(key)}" if self._absolute else _item_path(key)
        return f"{_LOCAL_FILE}{quote(href)}" if href.startswith("/") and not href.startswith("//") else href

    def _href_to_memory(self, href: str) -> str:
        # What the API does to every link: done here too, the database and the API give the same item.
        resolved = urljoin(f"{self._roots[0]}/", href)
        if resolved.startswith(f"{_LOCAL_FILE}/"):
            return unquote(resolved.removeprefix(_LOCAL_FILE))
        for root in self._roots:
            if (key := _key_below(root, resolved)) is not None:
                return href_of(key)
        return resolved


def require_key(key: ItemKey) -> None:
    """Raises ``RefusedError`` for an item that no catalog can hold."""
    if problems := key_problems(key):
        raise RefusedError(f"item {key}", problems)


def root_of(landing_page: dict[str, Any]) -> str:
    """The root of the API as its landing page spells it; empty where it does not say."""
    hrefs = {str(link.get("rel")): str(link.get("href", "")) for link in landing_page.get("links", [])}
    return (hrefs.get("root") or hrefs.get("self") or "").rstrip("/")


def _collection_path(collection: str) -> str:
    return f"collections/{collection}"


def _item_path(key: ItemKey) -> str:
    return f"{_collection_path(key.collection)}/items/{key.id}"


def _key_below(root: str, href: str) -> ItemKey | None:
    parts = href.removeprefix(f"{root}/").split("/") if href.startswith(f"{root}/") else []
    if len(parts) != 4 or (parts[0], parts[2]) != ("collections", "items"):
        return None
    key = ItemKey(parts[1], parts[3])
    return None if key_problems(key) else key

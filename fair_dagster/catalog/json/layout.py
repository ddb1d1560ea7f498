"""Where the files of a JSON catalog stand, and how hrefs are spelled inside them.

Translates items between their form in memory (``catalog://`` links, absolute asset paths) and their form on
disk (relative hrefs, structural links). Reads and writes no file.
"""

import os
import re
from pathlib import Path
from typing import Any

from fair_dagster.catalog.documents import CATALOG_FILE, COLLECTION_FILE, JSON
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.fields import COLLECTIONS
from fair_dagster.domain.items.links import STRUCTURAL, href_of, key_of
from fair_dagster.domain.items.stac import Item, ItemKey

_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_ORDER = ("type", "stac_version", "stac_extensions", "id", "collection", "geometry", "bbox", "properties")
_SORTED_SECTIONS = ("properties", "assets")


def key_problems(key: ItemKey) -> list[str]:
    """Why no catalog can hold an item at ``key``: an unknown collection, an id that is no safe file name."""
    problems = collection_problems(key.collection)
    if not _SAFE_ID.fullmatch(key.id):
        problems.append(f"item id {key.id!r} may hold only letters, digits, '.', '_' and '-', at most 200 of them")
    return problems


def collection_problems(collection: str) -> list[str]:
    if collection in COLLECTIONS:
        return []
    return [f"there is no collection {collection!r}; known are {', '.join(COLLECTIONS)}"]


class Layout:
    """Paths of a catalog below ``root``, and the translation of hrefs."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow a link that the user chose

    @property
    def catalog_file(self) -> Path:
        return self.root / CATALOG_FILE

    def collection_file(self, collection: str) -> Path:
        """Raises ``RefusedError`` for an unknown collection."""
        if problems := collection_problems(collection):
            raise RefusedError(f"collection {collection!r}", problems)
        return self.root / collection / COLLECTION_FILE

    def item_file(self, key: ItemKey) -> Path:
        """Raises ``RefusedError`` for an id that could leave the catalog's folder."""
        if problems := key_problems(key):
            raise RefusedError(f"item {key}", problems)
        return self.root / key.collection / key.id / f"{key.id}.json"

    def to_disk(self, item: Item, key: ItemKey) -> Item:
        """``item`` as it is stored at ``key``: keys in a fixed order, so that differences between files
        stay small.
        """
        folder = self.item_file(key).parent
        stored: Item = {name: item[name] for name in _ORDER if name in item}
        stored |= {name: item[name] for name in sorted(item) if name not in {*_ORDER, "links", "assets"}}
        stored["links"] = self._links_to_disk(item.get("links", []), folder)
        stored["assets"] = {name: _asset_to_disk(a, folder) for name, a in item.get("assets", {}).items()}
        for section in _SORTED_SECTIONS:
            stored[section] = dict(sorted(stored[section].items())) if stored.get(section) else {}
        return stored

    def to_memory(self, stored: Item, key: ItemKey) -> Item:
        """The inverse of ``to_disk``. Changes ``stored``, which the caller has just read, and returns it."""
        folder = str(self.item_file(key).parent)
        links = [link for link in stored.get("links", []) if link.get("rel") not in STRUCTURAL]
        for link in links:
            link["href"] = self._href_to_memory(link["href"], folder)
        stored["links"] = links
        for asset in stored.get("assets", {}).values():
            asset["href"] = _absolute(asset["href"], folder)
        stored["collection"] = key.collection
        return stored

    def _links_to_disk(self, links: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
        structural = [
            {"rel": "root", "href": f"../../{CATALOG_FILE}", "type": JSON},
            {"rel": "parent", "href": f"../{COLLECTION_FILE}", "type": JSON},
            {"rel": "collection", "href": f"../{COLLECTION_FILE}", "type": JSON},
        ]
        own = [link for link in links if link.get("rel") not in STRUCTURAL]
        return structural + [link | {"href": self._href_to_disk(str(link["href"]), folder)} for link in own]

    def _href_to_disk(self, href: str, folder: Path) -> str:
        key = key_of(href)
        return _relative(str(self.item_file(key)) if key else href, folder)

    def _href_to_memory(self, href: str, folder: str) -> str:
        absolute = _absolute(href, folder)
        if absolute == href or not absolute.startswith(f"{self.root}/"):
            return absolute
        # Every link of every item comes by here, and a path object costs ten times as much as the text.
        parts = absolute.removeprefix(f"{self.root}/").split("/")
        is_item = len(parts) == 3 and parts[2] == f"{parts[1]}.json" and parts[0] in COLLECTIONS
        return href_of(ItemKey(parts[0], parts[1])) if is_item else absolute


def _asset_to_disk(asset: dict[str, Any], folder: Path) -> dict[str, Any]:
    return asset | {"href": _relative(str(asset["href"]), folder)} if "href" in asset else asset


def _relative(href: str, folder: Path) -> str:
    """An absolute path relative to ``folder``; anything else (URL, image name, ``local``) as it is."""
    if not href.startswith("/"):
        return href
    path = os.path.relpath(href, folder)
    return path if path.startswith("../") else f"./{path}"


def _absolute(href: str, folder: str) -> str:
    """The inverse of ``_relative``: only hrefs that start with a dot are paths."""
    if not href.startswith(("./", "../")):
        return href
    return os.path.normpath(os.path.join(folder, href))  # noqa: PTH118 - pathlib does not fold '..'

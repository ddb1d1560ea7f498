"""The folders of releases in the artifact store: how they are named, and which of them items use.

What lies in a folder is the business of ``artifacts`` and ``released``.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.desired import published_releases, slug_of
from fair_dagster.storage.store import ArtifactStore

RELEASE = re.compile(rf"(?:^|/)((?:{'|'.join(items.COLLECTIONS)})/[a-z0-9-]+/v[0-9]+-[0-9a-f]{{8}})(?=/|$)")
"""The folder of a release within a path."""


def folder_of(collection: str, slug: str, number: int, uid: str) -> str:
    """The folder of a release.

    The UUID keeps apart versions that ZenML gave the same number; the digest of a base model or dataset, a release from
    what a process that was killed may have left under the same number.
    """
    return f"{collection}/{slug}/v{number}-{uid.removeprefix('sha256:')[:8]}"


def folder_of_item(item: Item) -> str:
    """The folder of the release that an item is of."""
    (release,) = published_releases([item])
    return folder_of(item["collection"], slug_of(item), release.number, release.uid)


def find_folder(artifacts: ArtifactStore, href: str) -> str:
    """The folder of the release that ``href`` leads into; empty for any other.

    An href that names a release is taken at its word wherever it leads: base URLs and buckets change, and what an item
    may still mean is not removed.
    """
    key = artifacts.key_of(href)
    if key is not None and len(parts := key.split("/")) >= 3:
        return "/".join(parts[:3])
    found = RELEASE.search(unquote(urlsplit(href).path))
    return found[1] if found else ""


def used_folders(artifacts: ArtifactStore, scanned: Iterable[Item]) -> set[str]:
    """The folders of releases that items stand for, or point into."""
    used = set()
    for item in scanned:
        used.add(folder_of_item(item))
        hrefs = [str(asset.get("href", "")) for asset in item.get("assets", {}).values()]
        hrefs += [str(link.get("href", "")) for link in item.get("links", [])]
        used |= {find_folder(artifacts, href) for href in hrefs}
    return used


def remove_unused(catalog: CatalogStore, artifacts: ArtifactStore, folders: Iterable[str]) -> list[str]:
    """Remove the folders that no item of any collection uses; returns those that are gone.

    Raises:
        CatalogError: an item cannot be read. It might use one of them.
        StorageError: a folder cannot be removed.
    """
    wanted = set(folders)
    unused = sorted(wanted - _in_use(catalog, artifacts)) if wanted else []
    for folder in unused:
        artifacts.remove(folder)
    return unused


def _in_use(catalog: CatalogStore, artifacts: ArtifactStore) -> set[str]:
    """As ``used_folders`` of all items, from the catalog's index: what has not changed is not read again."""
    used = set()
    for collection in items.COLLECTIONS:
        lacking = set(catalog.ids(collection))
        for entry in catalog.entries(collection):
            lacking.discard(entry.id)
            used.add(folder_of(collection, slug_of({"id": entry.id}), entry.number, entry.uid))
            used |= {find_folder(artifacts, folder) for folder in entry.folders}
        # The index leaves out what is damaged; reading it raises.
        found = (catalog.get(ItemKey(collection, item_id)) for item_id in sorted(lacking))
        used |= used_folders(artifacts, (item for item in found if item is not None))
    return used

"""Runs in the peer's environment: publishes versions one by one through fair-py-ops' ``StacCatalogManager``.

Reads the items from a JSON file, prints the seconds of each publish as a JSON list. Imports nothing of this
project. Usage: python catalog_peer.py ITEMS_FILE CATALOG_FOLDER MAX_SECONDS
"""

import json
import sys
import time
from pathlib import Path

import pystac
from fair.stac.catalog_manager import StacCatalogManager
from fair.stac.collections import initialize_catalog
from fair.stac.versioning import add_version_links, deprecate_and_link_successor, find_previous_active_item

COLLECTION = "local-models"


def publish(manager: StacCatalogManager, item: pystac.Item) -> None:
    """The catalog's part of the peer's promotion, in its order."""
    name = item.properties["mlm:name"]
    previous = find_previous_active_item(manager, COLLECTION, "mlm:name", name, exclude_item_id=item.id)
    own = manager.item_href(COLLECTION, item.id)
    add_version_links(item, own, manager.item_href(COLLECTION, previous.id) if previous else None)
    if previous:
        deprecate_and_link_successor(manager, COLLECTION, previous, own)
    manager.publish_item(COLLECTION, item)


def main() -> None:
    items = json.loads(Path(sys.argv[1]).read_text())
    catalog = Path(sys.argv[2]) / "catalog.json"
    deadline = time.monotonic() + float(sys.argv[3])
    initialize_catalog(str(catalog))
    manager = StacCatalogManager(str(catalog))
    seconds = []
    for document in items:
        item = pystac.Item.from_dict(document)
        start = time.perf_counter()
        publish(manager, item)
        seconds.append(time.perf_counter() - start)
        if time.monotonic() > deadline:
            break
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()

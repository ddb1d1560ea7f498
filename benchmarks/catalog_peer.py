"""Runs in the peer's environment: publishes items one by one through fair-py-ops' ``StacCatalogManager``.

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
        manager.publish_item("local-models", item)
        seconds.append(time.perf_counter() - start)
        if time.monotonic() > deadline:
            break
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()

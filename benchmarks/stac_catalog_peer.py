"""Runs in the peer's environment: promotes versions one by one through fair-py-ops' pgstac or API back end.

Prints the seconds of each promotion as a JSON list. Imports nothing of this project. The DSN comes by stdin.
Usage: python stac_catalog_peer.py pgstac|api ITEMS_FILE API_URL MAX_SECONDS
"""

import json
import sys
import time
from pathlib import Path

import pystac
from fair.stac.api_backend import StacApiBackend
from fair.stac.versioning import add_version_links, deprecate_and_link_successor, find_previous_active_item

COLLECTION = "local-models"


def main() -> None:
    kind, source, url, most = sys.argv[1:5]
    if kind == "pgstac":
        from fair.stac.pgstac_backend import PgStacBackend

        backend = PgStacBackend(sys.stdin.read().strip(), url)
    else:
        backend = StacApiBackend(url)
    deadline = time.monotonic() + float(most)
    seconds = []
    for document in json.loads(Path(source).read_text()):
        item = pystac.Item.from_dict(document)
        start = time.perf_counter()
        promote(backend, item)
        seconds.append(time.perf_counter() - start)
        if time.monotonic() > deadline:
            break
    print(json.dumps(seconds))


def promote(backend, item: pystac.Item) -> None:
    """The catalog's part of the peer's promotion, in its order."""
    name = item.properties["mlm:name"]
    previous = find_previous_active_item(backend, COLLECTION, "mlm:name", name, exclude_item_id=item.id)
    own = backend.item_href(COLLECTION, item.id)
    add_version_links(item, own, backend.item_href(COLLECTION, previous.id) if previous else None)
    if previous:
        deprecate_and_link_successor(backend, COLLECTION, previous, own)
    backend.publish_item(COLLECTION, item)


if __name__ == "__main__":
    main()

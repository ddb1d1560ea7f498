"""What an item is in memory: STAC JSON, and the key it has in the catalog. What it says is read by ``fields``."""

from dataclasses import dataclass
from typing import Any

Item = dict[str, Any]
"""A STAC Item as JSON. In memory, links to other items of the catalog are spelled
``catalog://<collection>/<item id>`` and structural links (root, parent, collection, self) are left out:
a store adds them and translates the others to what its medium needs. Asset hrefs are URLs or absolute paths."""


@dataclass(frozen=True)
class ItemKey:
    """Where an item stands: its collection and its id."""

    collection: str
    id: str

    def __str__(self) -> str:
        return f"{self.collection}/{self.id}"

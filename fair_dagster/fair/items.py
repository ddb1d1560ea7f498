"""Items of any collection: found, patched, traced to where they come from."""

from collections.abc import Mapping
from typing import Any

from fair_dagster.domain import items
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.fair.part import Part
from fair_dagster.flows import items as item_flow
from fair_dagster.flows import lineage as lineage_flow
from fair_dagster.flows.publication import patching


class Items(Part):
    """What ``Fair`` does with items, whatever they describe."""

    def item(self, name: str) -> Item:
        """An item by id, or the active version of a finetuned model by its name.

        Raises:
            NotFoundError: nothing has that name; similar names are in the message.
        """
        return item_flow.find(self.services.catalog, name)

    def local_models(self, *, all_versions: bool = False) -> list[Item]:
        """The published finetuned models: the promoted version of each, or all that ever were promoted."""
        return self._items(items.LOCAL_MODELS, all_versions)

    def href(self, item: Item) -> str:
        """Where people find an item of the catalog: a file path or a URL."""
        return self.services.catalog.href(ItemKey(item["collection"], item["id"]))

    def patch(self, name: str, change: Mapping[str, Any]) -> Item:
        """Merge-patch (RFC 7396) the fields of an item that belong to users.

        Raises:
            NotFoundError: nothing has that name.
            RefusedError: the patch touches managed fields; each is named.
        """
        return patching.patch(self.services, name, change)

    def lineage(self, name: str, *, published_only: bool = False) -> lineage_flow.FoundLineage:
        """Where an item, a finetuned model, a version or the file of a prediction comes from, and what came of it.

        Raises:
            NotFoundError: nothing has that name.
            ServiceError: ZenML cannot be asked; ``published_only`` does without it.
        """
        return lineage_flow.lineage(self.services, name, published_only=published_only)

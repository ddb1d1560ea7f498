"""Where a model comes from, as a block of Markdown for people."""

from fair_dagster.domain import items
from fair_dagster.domain.changes import Item
from fair_dagster.domain.links import DERIVED_FROM, targets


def lineage_markdown(item: Item) -> str:
    """The parents of ``item``, at the exact versions it was made from, and itself."""
    properties = item["properties"]
    versions = {
        items.BASE_MODELS: properties.get("fair:base_model_version"),
        items.DATASETS: properties.get("fair:dataset_version"),
    }
    parents = [
        f"- `{parent.collection}` **{parent.id}** (version {versions.get(parent.collection)})"
        for parent in targets(item.get("links", []), DERIVED_FROM)
    ]
    state = "deprecated" if properties.get("deprecated") else "active"
    lines = parents or ["- no parents: contributed"]
    return "\n".join([*lines, f"- → `{item['collection']}` **{item['id']}** ({state})"])

"""A model of the catalog as it leaves the catalog: its item without what means something only here, its card. Pure.

How files are fetched and pushed stands in ``flows.model_artifacts``.
"""

import copy
from collections.abc import Mapping
from typing import Any

from fair_dagster.domain import items
from fair_dagster.domain.items.links import DERIVED_FROM
from fair_dagster.domain.items.stac import Item

_PRESENT = frozenset({"updated", "deprecated", "fair:pinned", "fair:promotion"})
"""What the catalog says of an item at a moment, and may say otherwise tomorrow."""
_OCI = "oci://"


def travelling_item(item: Item, titles: Mapping[str, str]) -> Item:
    """``item`` as it goes with its files: equal for as long as the model is, whatever becomes of it in the catalog.

    Args:
        titles: the file of each asset that goes with it, by asset key.
    """
    copied = copy.deepcopy(item)
    copied["properties"] = {name: value for name, value in item["properties"].items() if name not in _PRESENT}
    copied["links"] = [link for link in copied.get("links", []) if link.get("rel") in {DERIVED_FROM, "license"}]
    copied["assets"] = {
        key: asset | ({"href": f"./{titles[key]}"} if key in titles else {})
        for key, asset in copied.get("assets", {}).items()
        if not str(asset.get("href", "")).startswith(_OCI)
    }
    return copied


def described(item: Item) -> dict[str, Any]:
    """What is said of the model beside its files: the fields of omlmd's metadata, metrics as custom properties."""
    properties = item["properties"]
    providers = [str(one.get("name", "")) for one in properties.get("providers", [])]
    told = {
        "version": properties.get("version"),
        "license": properties.get("license"),
        "keywords": properties.get("keywords"),
        "tasks": properties.get("mlm:tasks"),
        "stac_id": item["id"],
        "stac_collection": item.get("collection"),
        "base_model": properties.get("fair:base_model"),
        "base_model_version": properties.get("fair:base_model_version"),
        "dataset": properties.get("fair:dataset"),
        "dataset_version": properties.get("fair:dataset_version"),
        "zenml_version_id": properties.get("fair:zenml_version_id"),
    }
    own = {name: value for name, value in told.items() if value is not None}
    metrics = {name: value for name, value in properties.get("fair:metrics", {}).items() if name not in own}
    return {
        "name": properties.get("mlm:name", item["id"]),
        "description": properties.get("description"),
        "author": ", ".join(name for name in providers if name) or None,
        "customProperties": own | metrics,
        "model_format_name": "onnx" if items.onnx_asset(item) else None,
    }


def model_card(item: Item) -> str:
    """A card in Markdown for a model whose folder brings none."""
    properties = item["properties"]
    lines = [f"# {properties.get('title', item['id'])}", "", str(properties.get("description", "")), ""]
    facts = {
        "Name": properties.get("mlm:name"),
        "Version": properties.get("version"),
        "License": properties.get("license"),
        "Tasks": ", ".join(properties.get("mlm:tasks", [])),
        "Base model": _versioned(properties, "fair:base_model"),
        "Dataset": _versioned(properties, "fair:dataset"),
    }
    lines += [f"- {name}: {value}" for name, value in facts.items() if value]
    if metrics := properties.get("fair:metrics"):
        lines += ["", "## Metrics", "", "| metric | value |", "| --- | --- |"]
        lines += [f"| {name} | {value} |" for name, value in sorted(metrics.items())]
    return "\n".join(lines) + "\n"


def _versioned(properties: Mapping[str, Any], key: str) -> str:
    name, version = properties.get(key), properties.get(f"{key}_version")
    return f"{name} version {version}" if name and version else str(name or "")

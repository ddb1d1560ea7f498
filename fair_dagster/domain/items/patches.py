"""Who owns which field of an item, and merge patches (RFC 7396) of the fields that belong to users.

*Managed* fields are derived by this system and recomputed at will. Everything else belongs to whoever put it there;
``fair:patched`` names what was patched, so that it also survives a new version that takes over the id.

See docs/decisions/0003.
"""

import copy
from collections.abc import Mapping
from typing import Any

from fair_dagster.domain import items
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.links import MANAGED_RELS, STRUCTURAL, Link
from fair_dagster.domain.items.stac import Item

PATCHED = "fair:patched"

_MANAGED_PREFIXES = ("mlm:", "label:", "classification:", "file:")
_MANAGED_PROPERTIES = frozenset(
    {
        "datetime",
        "start_datetime",
        "end_datetime",
        "created",
        "updated",
        "version",
        "deprecated",
        "keywords",
        "license",
        "fair:base_model",
        "fair:base_model_version",
        "fair:category",
        "fair:coverage",
        "fair:dataset",
        "fair:dataset_version",
        "fair:digest",
        "fair:hyperparameters_spec",
        "fair:metrics",
        "fair:metrics_spec",
        "fair:name",
        "fair:patched",
        "fair:promotion",
        "fair:schema_version",
        "fair:split",
        "fair:split_spec",
        "fair:training_wall_seconds",
        "fair:zenml_version_id",
    }
)
_MANAGED_ROLES = frozenset(
    {
        "mlm:model",
        "mlm:weights",
        "mlm:training-runtime",
        "mlm:inference-runtime",
        "mlm:training-config",
        "code",
        "data",
        "labels",
    }
)
_MANAGED_ASSETS = frozenset(
    {
        "model",
        "oci",
        "onnx",
        "checkpoint",
        "weights",
        "training-config",
        "loss-history",
        "source-code",
        "training-runtime",
        "inference-runtime",
        "mlm:training",
        "mlm:inference",
        "chips",
        "labels",
    }
)


def is_managed_property(name: str) -> bool:
    return name in _MANAGED_PROPERTIES or name.startswith(_MANAGED_PREFIXES)


def is_managed_asset(key: str, asset: Mapping[str, Any] | None) -> bool:
    return key in _MANAGED_ASSETS or bool(_MANAGED_ROLES & set(items.roles(dict(asset or {}))))


def is_managed_link(link: Link) -> bool:
    return link.get("rel") in MANAGED_RELS | STRUCTURAL


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396: objects merge key by key, null deletes, everything else replaces."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def apply_patch(item: Item, patch: Mapping[str, Any]) -> Item:
    """``item`` after ``patch``.

    ``properties`` and ``assets`` merge; ``links`` replaces the links that users own, managed links stay.

    Raises:
        RefusedError: the patch touches managed fields or has the wrong form; every such field is named.
    """
    if problems := patch_problems(item, patch):
        raise RefusedError(f"patch of {item['id']!r}", problems)
    result = copy.deepcopy(item)
    touched = set(item["properties"].get(PATCHED, []))
    for section in ("properties", "assets"):
        result[section] = merge(item.get(section, {}), patch.get(section, {}))
        touched |= {f"{section}.{name}" for name in patch.get(section, {})}
    if "links" in patch:
        own = [link for link in patch["links"] if not is_managed_link(link)]
        result["links"] = [link for link in item["links"] if is_managed_link(link)] + own
        touched.add("links")
    if "stac_extensions" in patch:
        result["stac_extensions"] = sorted({*item.get("stac_extensions", []), *patch["stac_extensions"]})
        touched.add("stac_extensions")
    if touched:
        result["properties"][PATCHED] = sorted(touched)
    return result


def patch_problems(item: Item, patch: Any) -> list[str]:
    """Every reason why ``patch`` cannot be applied to ``item``."""
    if not isinstance(patch, Mapping):
        return ["a merge patch must be a JSON object"]
    problems = [
        f"{name!r} is managed by the system; a patch may hold properties, assets, links and stac_extensions"
        for name in patch
        if name not in {"properties", "assets", "links", "stac_extensions"}
    ]
    for section in ("properties", "assets"):
        if not isinstance(patch.get(section, {}), Mapping):
            problems.append(f"{section} of a patch must be an object")
            return problems
    problems += [
        f"properties.{name} is managed by the system and cannot be patched"
        for name in patch.get("properties", {})
        if is_managed_property(name)
    ]
    for key, change in patch.get("assets", {}).items():
        current = item.get("assets", {}).get(key)
        if is_managed_asset(key, current):
            problems.append(f"assets.{key} is managed by the system and cannot be patched")
        elif change is not None and (not isinstance(change, Mapping) or not merge(current, change).get("href")):
            problems.append(f"assets.{key} must be an object with an href")
        elif isinstance(change, Mapping) and is_managed_asset(key, change):
            problems.append(f"assets.{key} may not take a role that the system manages")
    problems += _link_problems(item, patch)
    extensions = patch.get("stac_extensions", [])
    if not isinstance(extensions, list) or not all(isinstance(uri, str) for uri in extensions):
        problems.append("stac_extensions of a patch must be a list of URIs")
    return problems


def _link_problems(item: Item, patch: Mapping[str, Any]) -> list[str]:
    links = patch.get("links", [])
    if not isinstance(links, list):
        return ["links of a patch must be a list of the links that users own"]
    problems = []
    for position, link in enumerate(links):
        named = isinstance(link, Mapping) and all(
            isinstance(link.get(key), str) and link[key] for key in ("rel", "href")
        )
        if not named:
            problems.append(f"links[{position}] must be an object with the texts rel and href")
        elif is_managed_link(dict(link)) and link not in item["links"]:
            problems.append(f"links[{position}]: relation {link['rel']!r} is managed by the system")
    return problems

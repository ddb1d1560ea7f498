"""Models of the catalog as artifacts of registries: their files, the item, a card, and what is said of them.

What an artifact is made of stands in ``oci``; what goes of an item, in ``domain.model_artifacts``.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import orjson

from fair_dagster.domain import items
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.promoted_items import CONFIG_ASSET
from fair_dagster.domain.registries.artifacts import described, model_card, travelling_item
from fair_dagster.flows.fetching import href_problems, local_path, told_by
from fair_dagster.flows.items import find
from fair_dagster.flows.services import Services

if TYPE_CHECKING:
    from fair_dagster.oci.pushing import Part, Pushed
    from fair_dagster.oci.references import Reference
    from fair_dagster.oci.registry.blobs import Progress
    from fair_dagster.oci.registry.registries import Registries

ITEM_TITLE, CARD_TITLE = "stac-item.json", "README.md"
_ITEM_TYPE, _CARD_TYPE, _CONFIG_TYPE = "application/geo+json", "text/markdown", "application/yaml"
_README_ASSET = "readme"


def push_item(
    services: Services,
    name: str,
    reference: "Reference",
    *,
    registries: "Registries | None" = None,
    progress: "Progress | None" = None,
    **options: Any,
) -> "Pushed":
    """Push a model of the catalog: weights, ONNX, item, card and training configuration.

    Equal content makes an equal digest: a model that is pushed again stays what it is.

    Args:
        name: id of an item, or name of a finetuned model.
        registries: by default those of the settings.
        options: as those of ``oci.pushing.push``.

    Raises:
        NotFoundError: no such model.
        RefusedError: it has no files that can be had; every reason is named.
        StorageError: a file cannot be read, or is not what the item says.
        As ``oci.pushing.push``.
    """
    from fair_dagster.oci.descriptors import CREATED
    from fair_dagster.oci.metadata import ModelMetadata
    from fair_dagster.oci.pushing import Part, push

    item = find(services.catalog, name, (items.LOCAL_MODELS, items.BASE_MODELS))
    files = _files(services, item)
    parts = [part for found in files.values() for part in found]
    titles = {key: _title(item["assets"][key]) for key in files}
    if not any(part.title == CARD_TITLE for part in parts):
        parts.append(Part(model_card(item).encode(), CARD_TITLE, _CARD_TYPE))
    document = orjson.dumps(travelling_item(item, titles), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    parts.append(Part(document, ITEM_TITLE, _ITEM_TYPE))
    created = item["properties"].get("datetime")
    told = {CREATED: created} if created else {}
    return push(
        registries or services.registries,
        reference,
        parts,
        ModelMetadata.of(described(item), f"metadata of {item['id']}"),
        **{
            **options,
            "form": options.get("form") or "fair",
            "annotations": told | (options.get("annotations") or {}),
            "progress": progress,
        },
    )


def _files(services: Services, item: Item) -> "dict[str, list[Part]]":
    """The files of an item by the key of their asset."""
    found = _assets(item)
    problems = [] if found else ["it has neither weights nor an ONNX model"]
    for key, (asset, _) in found.items():
        problems += href_problems(services, str(asset["href"]), f"asset {key}")
    if problems:
        raise RefusedError(f"push of {item['id']}", problems)
    told = told_by([item])
    return {
        key: _parts(Path(local_path(services, str(asset["href"]), told)), _title(asset), media_type)
        for key, (asset, media_type) in found.items()
    }


def _assets(item: Item) -> dict[str, tuple[Mapping[str, Any], str]]:
    from fair_dagster.oci.artifacts.forms import MODEL_TYPE

    found: dict[str, tuple[Mapping[str, Any], str]] = {}
    for one in (items.onnx_asset(item), items.weights_asset(item)):
        if one is not None:
            found[one[0]] = (one[1], MODEL_TYPE)
    others = ((CONFIG_ASSET, _CONFIG_TYPE), (_README_ASSET, _CARD_TYPE)) if found else ()
    for key, media_type in others:
        if key in item["assets"]:
            found[key] = (item["assets"][key], media_type)
    return found


def _parts(path: Path, title: str, media_type: str) -> "list[Part]":
    from dataclasses import replace

    from fair_dagster.oci.pushing import Part, parts_of

    if path.is_dir():
        return [replace(one, title=f"{title}/{one.title}") for one in parts_of([path], media_type)]
    return [Part(path, title, media_type)]


def _title(asset: Mapping[str, Any]) -> str:
    """The file name behind an href."""
    href = str(asset["href"])
    path = unquote(urlsplit(href).path) if "://" in href else href
    return PurePosixPath(path).name

"""Items that come with artifacts: made fit for this catalog, whose files and machines are others. Pure.

An item that somebody pushed is a stranger's: what it names outside of its artifact is not believed. Fetching stands in
``flows.oci_models``.
"""

import copy
from collections.abc import Mapping
from typing import Any

from fair_dagster.domain import items
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.artifacts import PublishedArtifact
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.registries.assets import OCI_ASSET, SCHEME, oci_asset

_RUNTIMES = frozenset({"mlm:training-runtime", "mlm:inference-runtime"})
_ELSEWHERE = frozenset(
    {
        "created",
        "updated",
        "deprecated",
        "fair:base_model",
        "fair:base_model_version",
        "fair:dataset",
        "fair:dataset_version",
        "fair:digest",
        "fair:patched",
        "fair:pinned",
        "fair:promotion",
        "fair:split",
        "fair:training_wall_seconds",
        "fair:zenml_version_id",
    }
)
"""What an item says of the catalog that it was made in."""


def arrived_item(item: Item, artifact: str, files: Mapping[str, PublishedArtifact]) -> Item:
    """The item of an artifact with the addresses that its files have here.

    Assets that lead elsewhere are left out, but for images to run in and pages of the web. The code stays named: by its
    entrypoint it is found among the folders here, or not.

    Args:
        artifact: ``oci://…@sha256:…``.
        files: the files of the artifact by their titles.

    Raises:
        RefusedError: a model file is not among them, or is another than the item says; every problem is named.
    """
    arrived = copy.deepcopy(item)
    arrived["assets"], problems = {}, []
    wanted = {found[0] for found in (items.onnx_asset(item), items.weights_asset(item)) if found}
    code = items.code_asset(item)
    for key, asset in item.get("assets", {}).items():
        title = str(asset.get("href", "")).removeprefix("./")
        if (file := files.get(title)) is not None:
            told = asset.get("file:checksum", file.checksum)
            if told != file.checksum:
                problems.append(f"assets.{key}: {title} has checksum {file.checksum}, and its item says {told}")
            arrived["assets"][key] = asset | file.fields()
        elif key in wanted:
            problems.append(f"assets.{key}: {asset.get('href')!r} is not among the files of the artifact")
        elif code is not None and key == code[0]:
            arrived["assets"][key] = _without_file(asset) | {"href": artifact}
        elif _RUNTIMES & set(items.roles(asset)) or title.startswith("https://"):
            arrived["assets"][key] = asset
    if not wanted:
        problems.append("it has neither an ONNX model nor weights")
    if problems:
        raise RefusedError(f"the item of {artifact}", problems)
    if asset := oci_asset(artifact):
        arrived["assets"][OCI_ASSET] = asset
    return arrived


def as_base_model(item: Item, artifact: str) -> Item:
    """An item that has arrived, as a base model of this catalog: here it has no version in ZenML and no parents.

    What is made of it here starts from it, whatever it was made from elsewhere.
    """
    taken = copy.deepcopy(item)
    own = {f"{items.SCHEMA_ROOT}/{kind}/" for kind in ("local-model", "base-model", "dataset")}
    taken["stac_extensions"] = [uri for uri in item.get("stac_extensions", []) if not uri.startswith(tuple(own))]
    taken["properties"] = {name: value for name, value in item["properties"].items() if name not in _ELSEWHERE}
    taken["id"] = items.name_of(item)
    taken["collection"] = items.BASE_MODELS
    licensed = [link for link in item.get("links", []) if link.get("rel") == "license"]
    taken["links"] = [*licensed, {"rel": "via", "href": artifact, "title": "Pushed as an artifact"}]
    return taken


def came_as_artifact(item: Item) -> bool:
    """Whether a base model was registered from an artifact, and not from a folder."""
    return any(link.get("rel") == "via" and str(link.get("href", "")).startswith(SCHEME) for link in item["links"])


def _without_file(asset: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asset.items() if not name.startswith("file:")}

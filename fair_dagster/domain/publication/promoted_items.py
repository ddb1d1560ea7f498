"""The STAC item of a promoted model version, derived from its ZenML version and its parents.

Only content is built here; id, version, deprecation and version links are the business of ``publication``.
"""

from collections.abc import Mapping
from typing import Any

from fair_dagster.domain import items
from fair_dagster.domain.items.artifacts import PublishedArtifact
from fair_dagster.domain.items.coverage import Knowledge, derived_properties
from fair_dagster.domain.items.links import DERIVED_FROM, link_to
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.registries.assets import OCI_ASSET, oci_asset
from fair_dagster.domain.requests import OCI_KEY, FinetuneRequest
from fair_dagster.domain.versions import VersionRecord

MODEL_ASSET = "model"
CHECKPOINT_ASSET = "checkpoint"
CONFIG_ASSET = "training-config"
LOSS_ASSET = "loss-history"
THUMBNAIL_ASSET = "thumbnail"
PUBLISHED_ASSETS = (MODEL_ASSET, CHECKPOINT_ASSET, CONFIG_ASSET, LOSS_ASSET, THUMBNAIL_ASSET)
"""What a version brings itself; all other assets come from its base model."""

_EXTENSIONS = (
    "https://stac-extensions.github.io/mlm/v1.5.1/schema.json",
    "https://stac-extensions.github.io/version/v1.2.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
)
_INHERITED = (
    "mlm:architecture",
    "mlm:tasks",
    "mlm:framework",
    "mlm:framework_version",
    "mlm:input",
    "mlm:output",
    "keywords",
    "license",
    "providers",
    "fair:metrics_spec",
    "fair:split_spec",
    "fair:hyperparameters_spec",
)
_INHERITED_ASSETS_BY_ROLE = frozenset({"code", "mlm:source_code", "mlm:training-runtime", "mlm:inference-runtime"})


def local_item(
    version: VersionRecord,
    request: FinetuneRequest,
    base_model: Item,
    dataset: Item,
    artifacts: Mapping[str, PublishedArtifact],
    *,
    knowledge: Knowledge,
) -> Item:
    """The item body of ``version``, as the newest schema wants it.

    Args:
        artifacts: what was published, by asset key (``model`` …).
        knowledge: for the properties that are derived from others.
    """
    extensions = [
        *_EXTENSIONS,
        *(e for e in base_model.get("stac_extensions", []) if "/fair-" not in e.lower()),
    ]
    body: Item = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": sorted({*extensions, items.schema_uri("local-model")}),
        "id": request.model_name,
        "collection": items.LOCAL_MODELS,
        "geometry": dataset.get("geometry"),
        "bbox": dataset.get("bbox"),
        "properties": _properties(version, request, base_model, dataset),
        "links": [
            link_to(DERIVED_FROM, ItemKey(items.BASE_MODELS, base_model["id"]), "Base model"),
            link_to(DERIVED_FROM, ItemKey(items.DATASETS, dataset["id"]), "Dataset"),
        ],
        "assets": _assets(base_model, artifacts) | _pushed(version),
    }
    body["properties"] |= derived_properties(body, knowledge)
    return body


def _properties(version: VersionRecord, request: FinetuneRequest, base_model: Item, dataset: Item) -> dict[str, Any]:
    parent, record = base_model["properties"], version.training
    title = request.title or f"{request.model_name} version {version.number}"
    hyperparameters = dict(parent.get("mlm:hyperparameters", {}))
    for name, value in request.overrides.items():
        hyperparameters[f"{items.TRAINING}.{name.removeprefix(f'{items.TRAINING}.')}"] = value
    properties: dict[str, Any] = {key: parent[key] for key in _INHERITED if key in parent}
    properties |= {
        "datetime": version.created.isoformat().replace("+00:00", "Z"),
        "title": title,
        "description": request.description or _described(base_model, dataset),
        "mlm:name": request.model_name,
        "mlm:pretrained": True,
        "mlm:pretrained_source": request.base_model,
        "mlm:hyperparameters": hyperparameters,
        "fair:base_model": request.base_model,
        "fair:base_model_version": str(request.base_model_version),
        "fair:dataset": request.dataset,
        "fair:dataset_version": str(request.dataset_version),
        "fair:zenml_version_id": version.uuid,
        "fair:schema_version": items.SCHEMA_VERSION,
        "fair:metrics": dict(record.metrics),
    }
    if record.split:
        properties["fair:split"] = dict(record.split)
    if record.wall_seconds is not None:
        properties["fair:training_wall_seconds"] = record.wall_seconds
    return properties


def _described(base_model: Item, dataset: Item) -> str:
    parent, data = (item["properties"].get("title", item["id"]) for item in (base_model, dataset))
    return f"{parent} finetuned on {data}."


def _assets(base_model: Item, artifacts: Mapping[str, PublishedArtifact]) -> dict[str, Any]:
    inherited = {
        key: asset
        for key, asset in base_model["assets"].items()
        if _INHERITED_ASSETS_BY_ROLE & set(items.roles(asset))
        or any(items.runtime_asset(base_model, phase) == (key, asset) for phase in (items.TRAINING, items.INFERENCE))
    }
    return inherited | {
        key: _DESCRIPTIONS[key] | _input_bands(base_model, key) | artifact.fields()
        for key, artifact in artifacts.items()
    }


def _pushed(version: VersionRecord) -> dict[str, Any]:
    """The artifact of the version in a registry, where it was pushed to one."""
    asset = oci_asset(version.metadata.get(OCI_KEY))
    return {OCI_ASSET: asset} if asset else {}


def _input_bands(base_model: Item, key: str) -> dict[str, Any]:
    """The bands that MLM wants on a model asset, and the artifact type of the parent's weights."""
    if key == CHECKPOINT_ASSET:
        found = items.weights_asset(base_model)
    elif key == MODEL_ASSET:
        found = items.onnx_asset(base_model)
    else:
        return {}
    kept = ("raster:bands", "bands", "mlm:artifact_type")
    return {name: found[1][name] for name in kept if found and name in found[1]}


_DESCRIPTIONS: dict[str, dict[str, Any]] = {
    MODEL_ASSET: {
        "title": "ONNX model",
        "type": "application/octet-stream; framework=onnx",
        "roles": ["mlm:model", "mlm:compiled"],
        "mlm:artifact_type": "onnx",
    },
    CHECKPOINT_ASSET: {
        "title": "Weights to train on from",
        "type": "application/octet-stream",
        "roles": ["mlm:model", "mlm:weights"],
    },
    CONFIG_ASSET: {
        "title": "ZenML run configuration that reproduces the training",
        "type": "application/yaml",
        "roles": ["metadata", "mlm:training-config"],
    },
    THUMBNAIL_ASSET: {
        "title": "A prediction drawn over imagery",
        "type": "image/png",
        "roles": ["thumbnail"],
    },
    LOSS_ASSET: {
        "title": "Loss of each epoch",
        "type": "application/json",
        "roles": ["metadata"],
    },
}

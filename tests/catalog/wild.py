"""Items as fAIr's contributors write them, in short: the same traits, none of their text."""

import copy
from typing import Any

from fair_dagster.domain.items.stac import Item

MLM = "https://stac-extensions.github.io/mlm/v1.5.1/schema.json"
VERSION = "https://stac-extensions.github.io/version/v1.2.0/schema.json"
CLASSIFICATION_2 = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
RASTER = "https://stac-extensions.github.io/raster/v1.1.0/schema.json"
LABEL = "https://stac-extensions.github.io/label/v1.0.1/schema.json"
WORLD = {
    "type": "Polygon",
    "coordinates": [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]],
}
_BANDS = [{"name": "red"}, {"name": "green"}, {"name": "blue"}]
_PIPELINE = "models.roof_finder.pipeline"


def base_model(**properties: Any) -> Item:
    """As new ones are: prefixed hyperparameters, bare keys in the spec, extra ``fair:`` fields, no links."""
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [MLM, VERSION, FILE, RASTER],
        "id": "roof-finder",
        "geometry": WORLD,
        "bbox": [-180, -90, 180, 90],
        "properties": {
            "datetime": "2026-01-01T00:00:00Z",
            "title": "Roof finder",
            "description": "Finds roofs.",
            "mlm:name": "roof-finder",
            "mlm:architecture": "UNet",
            "mlm:tasks": ["semantic-segmentation"],
            "mlm:framework": "PyTorch",
            "mlm:framework_version": "2.10.0",
            "mlm:pretrained": True,
            "mlm:pretrained_source": None,
            "keywords": ["building", "semantic-segmentation", "polygon"],
            "license": "Apache-2.0",
            "version": "1",
            "deprecated": False,
            "providers": [{"name": "HOT", "roles": ["producer", "host"], "url": "https://www.hotosm.org"}],
            "fair:pinned": True,
            "fair:recommended_zoom": 19,
            "fair:preview": {"center": [85.5, 27.6], "zoom": {"recommended": 19}},
            "fair:metrics_spec": [{"key": "fair:mean_iou", "name": "Mean IoU"}],
            "fair:split_spec": {
                "strategy": "spatial",
                "default_ratio": 0.2,
                "seed": 42,
                "description": "Blocks.",
            },
            "fair:hyperparameters_spec": [
                {"key": "epochs", "type": "int", "default": 5, "min": 1, "max": 500},
                {"key": "optimizer", "type": "str", "default": "AdamW", "values": ["AdamW", "SGD"]},
                {"key": "threshold", "type": "float", "default": 0.5, "min": 0.0, "max": 1.0},
            ],
            "mlm:input": [
                {
                    "name": "RGB chips",
                    "bands": _BANDS,
                    "input": {
                        "shape": [-1, 3, 256, 256],
                        "dim_order": ["batch", "bands", "height", "width"],
                        "data_type": "float32",
                    },
                    "pre_processing_function": {"format": "python", "expression": f"{_PIPELINE}:preprocess"},
                }
            ],
            "mlm:output": [
                {
                    "name": "mask",
                    "tasks": ["semantic-segmentation"],
                    "bands": [],
                    "result": {
                        "shape": [-1, 2, 256, 256],
                        "dim_order": ["batch", "channel", "height", "width"],
                        "data_type": "float32",
                    },
                    "classification:classes": [
                        {"name": "background", "value": 0, "description": "Others"},
                        {"name": "building", "value": 1, "description": "Roofs"},
                    ],
                    "post_processing_function": {
                        "format": "python",
                        "expression": f"{_PIPELINE}:postprocess",
                    },
                }
            ],
            "mlm:hyperparameters": {
                "training.epochs": 5,
                "training.optimizer": "AdamW",
                "inference.threshold": 0.5,
            },
        }
        | properties,
        "assets": {
            "checkpoint": {
                "href": "https://example.org/weights.safetensors",
                "roles": ["mlm:model", "mlm:weights"],
                "mlm:artifact_type": "safetensors.torch.save_file",
                "raster:bands": _BANDS,
            },
            "model": {
                "href": "https://example.org/model.onnx",
                "roles": ["mlm:model", "mlm:compiled"],
                "mlm:artifact_type": "onnx",
                "raster:bands": _BANDS,
            },
            "source-code": {
                "href": "https://example.org/code",
                "type": "text/html",
                "roles": ["code"],
                "mlm:entrypoint": f"{_PIPELINE}:predict",
            },
            "mlm:training": {"href": "ghcr.io/hot/roofs:latest", "roles": ["mlm:training-runtime"]},
            "mlm:inference": {"href": "ghcr.io/hot/roofs:latest", "roles": ["mlm:inference-runtime"]},
        },
    }


def early_base_model() -> Item:
    """As early ones are: bare hyperparameters, pickled weights under ``model``, no other model asset."""
    item = base_model()
    item["properties"]["mlm:hyperparameters"] = {"epochs": 5, "optimizer": "AdamW", "threshold": 0.5}
    weights = {**item["assets"].pop("checkpoint"), "roles": ["mlm:model"], "mlm:artifact_type": "torch.save"}
    item["assets"]["model"] = weights | {"href": "weights.pt"}
    return item


def local_model(number: int = 3, **properties: Any) -> Item:
    item = base_model(
        **{
            "mlm:name": "roofs-nepal",
            "mlm:pretrained_source": "roof-finder",
            "version": str(number),
            "fair:base_model": "roof-finder",
            "fair:base_model_version": "1",
            "fair:dataset": "banepa",
            "fair:dataset_version": "1",
            "fair:metrics": {"building_iou": 0.5},
        }
        | properties
    )
    item["id"] = f"roofs-nepal-v{number}"
    item["links"] = [{"rel": "derived_from", "href": "catalog://base-models/roof-finder"}]
    return item


def dataset(**properties: Any) -> Item:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [LABEL, FILE, VERSION],
        "id": "buildings-banepa",
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[85.5, 27.6], [85.6, 27.6], [85.6, 27.7], [85.5, 27.7], [85.5, 27.6]]],
        },
        "bbox": [85.5, 27.6, 85.6, 27.7],
        "properties": {
            "datetime": "2026-01-01T00:00:00Z",
            "title": "Banepa",
            "description": "Chips and outlines.",
            "label:type": "vector",
            "label:tasks": ["segmentation"],
            "label:classes": [{"name": "building", "classes": ["yes"]}],
            "label:properties": ["building"],
            "label:description": "Outlines of buildings",
            "label:methods": ["manual"],
            "keywords": ["building", "semantic-segmentation", "polygon"],
            "fair:user_id": "anonymous",
            "license": "CC-BY-4.0",
            "providers": [{"name": "HOT", "roles": ["producer", "licensor"]}],
        }
        | properties,
        "assets": {
            "chips": {"href": "../train/oam", "roles": ["data"]},
            "labels": {"href": "../train/osm", "type": "application/geo+json", "roles": ["labels"]},
        },
        "links": [{"rel": "source", "href": "https://tiles.example.org/{z}/{x}/{y}"}],
    }


def without(item: Item, *names: str) -> Item:
    """A copy of ``item`` without these properties."""
    copied = copy.deepcopy(item)
    for name in names:
        del copied["properties"][name]
    return copied

"""Small, valid items and versions for tests. Only what several test packages need stands here."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fair_dagster.domain.items.coverage import Knowledge
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.items.vocabulary import Vocabulary
from fair_dagster.domain.requests import FinetuneRequest
from fair_dagster.domain.versions import Stage, VersionRecord

SQUARE = {
    "type": "Polygon",
    "coordinates": [[[85.0, 27.0], [85.1, 27.0], [85.1, 27.1], [85.0, 27.1], [85.0, 27.0]]],
}
BBOX = [85.0, 27.0, 85.1, 27.1]
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def base_model(slug: str = "ramp", number: int = 1, **properties: Any) -> Item:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": ["https://stac-extensions.github.io/mlm/v1.5.1/schema.json"],
        "id": slug,
        "collection": "base-models",
        "geometry": SQUARE,
        "bbox": BBOX,
        "properties": {
            "datetime": "2026-01-01T00:00:00Z",
            "title": slug.upper(),
            "description": "A test model.",
            "version": str(number),
            "deprecated": False,
            "license": "MIT",
            "keywords": ["building", "semantic-segmentation", "polygon"],
            "mlm:name": slug,
            "mlm:tasks": ["semantic-segmentation"],
            "mlm:output": [
                {
                    "classification:classes": [
                        {"name": "background", "value": 0},
                        {"name": "building", "value": 1},
                    ]
                }
            ],
            "mlm:hyperparameters": {
                "training.epochs": 5,
                "training.learning_rate": 0.1,
                "training.optimizer": "sgd",
                "inference.confidence_threshold": 0.5,
            },
            "fair:hyperparameters_spec": [
                {"key": "training.epochs", "type": "int", "min": 1, "max": 50, "default": 5},
                {"key": "learning_rate", "type": "float", "min": 0.001, "max": 1.0, "default": 0.1},
                {"key": "optimizer", "type": "str", "values": ["sgd", "adam"], "default": "sgd"},
                {"key": "confidence_threshold", "type": "float", "min": 0.0, "max": 1.0, "default": 0.5},
            ],
        }
        | properties,
        "links": [],
        "assets": {
            "checkpoint": {"href": "/a/checkpoint.bin", "roles": ["mlm:model", "mlm:weights"]},
            "model": {"href": "/a/model.onnx", "roles": ["mlm:model"], "mlm:artifact_type": "onnx"},
            "source-code": {
                "href": "/a/code",
                "roles": ["code"],
                "mlm:entrypoint": "models.ramp.pipeline:predict",
            },
            "mlm:training": {"href": "local", "roles": ["mlm:training-runtime"]},
            "mlm:inference": {"href": "local", "roles": ["mlm:inference-runtime"]},
        },
    }


def dataset(slug: str = "banepa", number: int = 1, **properties: Any) -> Item:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": slug,
        "collection": "datasets",
        "geometry": SQUARE,
        "bbox": BBOX,
        "properties": {
            "datetime": "2026-01-01T00:00:00Z",
            "title": slug.title(),
            "version": str(number),
            "deprecated": False,
            "keywords": ["building", "semantic-segmentation", "polygon"],
            "label:type": "vector",
            "label:tasks": ["segmentation"],
        }
        | properties,
        "links": [],
        "assets": {
            "chips": {"href": "/d/chips", "roles": ["data"]},
            "labels": {"href": "/d/labels.geojson", "roles": ["labels"]},
        },
    }


def finetune_request(model_name: str = "ramp-nepal", **fields: Any) -> FinetuneRequest:
    defaults: dict[str, Any] = {
        "base_model": "ramp",
        "base_model_version": 1,
        "dataset": "banepa",
        "dataset_version": 1,
        "model_name": model_name,
    }
    return FinetuneRequest(**(defaults | fields))


def version(
    number: int = 1, stage: Stage = "none", name: str = "ramp-nepal", uuid: str = "", **metadata: Any
) -> VersionRecord:
    created = EPOCH + timedelta(hours=number)
    logged = finetune_request(name).to_metadata() | {"fair/building_iou": 0.5} | metadata
    return VersionRecord(
        name=name,
        number=number,
        uuid=uuid or f"uuid-{name}-{number}",
        stage=stage,
        created=created,
        updated=created,
        metadata=logged,
    )


KNOWLEDGE = Knowledge(
    Vocabulary(
        features=frozenset({"building", "road"}),
        tasks=frozenset({"semantic-segmentation"}),
        geometries=frozenset({"polygon", "line"}),
        combinations=frozenset({("building", "semantic-segmentation", "polygon")}),
    ),
    country_of=lambda longitude, latitude: "NP" if (80 < longitude < 88 and 26 < latitude < 31) else None,
)
"""A world of one country, a rectangle around Nepal."""

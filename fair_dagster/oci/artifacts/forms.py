"""Forms of a model as an artifact: which manifest its files and metadata make. Pure.

``omlmd`` is the form of omlmd 0.1.6, byte for byte. ``fair`` is the same with an artifact type and the annotations of
the OCI specification. ``modelpack`` is that of https://github.com/modelpack/model-spec. Nothing is sent here.

See docs/decisions/0034.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from fair_dagster.oci.descriptors import EMPTY, EMPTY_CONTENT, TITLE, Descriptor, Manifest
from fair_dagster.oci.metadata import ModelMetadata

Form = Literal["omlmd", "fair", "modelpack"]
FORMS: tuple[Form, ...] = ("omlmd", "fair", "modelpack")

CONFIG_TYPE = "application/x-config"
MODEL_TYPE = "application/x-mlmodel"
OLD_MODEL_TYPE = "application/x-artifact"
"""What omlmd wrote before it called models by their own type."""
METADATA_JSON = "model_metadata.omlmd.json"
METADATA_YAML = "model_metadata.omlmd.yaml"
OLD_METADATA_JSON, OLD_METADATA_YAML = "model_metadata.json", "model_metadata.yaml"
METADATA_TITLES = (METADATA_JSON, OLD_METADATA_JSON)

FAIR_MODEL = "application/vnd.fair-dagster.model.v1"
MODELPACK = "application/vnd.cncf.model.manifest.v1+json"
_MODELPACK_CONFIG = "application/vnd.cncf.model.config.v1+json"
_MODELPACK_LAYER = "application/vnd.cncf.model.{kind}.v1.raw"
_FILEPATH = "org.cncf.model.filepath"
_STANDARD = "org.opencontainers.image."
_DOCUMENTS = frozenset({".md", ".txt", ".rst", ".pdf", ".html"})
_CONFIGS = frozenset({".json", ".yaml", ".yml", ".toml", ".geojson"})
_CODE = frozenset({".py", ".ipynb", ".sh"})

Source = Path | bytes


@dataclass(frozen=True)
class Layer:
    """A blob and where its content is."""

    descriptor: Descriptor
    source: Source

    @classmethod
    def of(cls, content: bytes, media_type: str, title: str = "") -> "Layer":
        return cls(Descriptor.of(content, media_type, {TITLE: title} if title else {}), content)


@dataclass(frozen=True)
class Packed:
    """A manifest and every blob that it names."""

    manifest: Manifest
    layers: tuple[Layer, ...]


def pack(
    form: Form,
    files: Sequence[Layer],
    metadata: ModelMetadata,
    *,
    artifact_type: str | None = None,
    annotations: Mapping[str, str] | None = None,
    subject: Descriptor | None = None,
) -> Packed:
    """A model with its metadata. Equal arguments give equal bytes.

    Args:
        files: titled layers.
        annotations: go before those that are derived.
    """
    derived = metadata.annotations()
    if form != "omlmd":
        derived |= _standard(metadata)
    config = Layer.of(metadata.json(), CONFIG_TYPE)
    noted = [
        Layer.of(metadata.json(), CONFIG_TYPE, METADATA_JSON),
        Layer.of(metadata.yaml(), CONFIG_TYPE, METADATA_YAML),
    ]
    layers = [*files, *noted]
    if form == "modelpack":
        layers = [_modelpack_layer(layer) for layer in layers]
        config = Layer.of(_modelpack_config(metadata, layers), _MODELPACK_CONFIG)
    kinds: dict[Form, str | None] = {"omlmd": None, "fair": FAIR_MODEL, "modelpack": MODELPACK}
    manifest = Manifest.make(
        config=config.descriptor,
        layers=[layer.descriptor for layer in layers],
        artifact_type=artifact_type or kinds[form],
        subject=subject,
        annotations=derived | dict(annotations or {}),
    )
    return Packed(manifest, (config, *layers))


def pack_referrer(
    files: Sequence[Layer],
    artifact_type: str,
    *,
    subject: Descriptor | None,
    annotations: Mapping[str, str] | None = None,
) -> Packed:
    """Files that say something of a manifest: a signature, an attestation. It has no config."""
    manifest = Manifest.make(
        config=EMPTY,
        layers=[layer.descriptor for layer in files],
        artifact_type=artifact_type,
        subject=subject,
        annotations=annotations or None,
    )
    return Packed(manifest, (Layer(EMPTY, EMPTY_CONTENT), *files))


def _standard(metadata: ModelMetadata) -> dict[str, str]:
    """https://github.com/opencontainers/image-spec/blob/v1.1.0/annotations.md"""
    known = {"title": metadata.name, "description": metadata.description, "authors": metadata.author}
    known |= {
        name: value
        for name, key in (("version", "version"), ("licenses", "license"), ("source", "source"))
        if isinstance(value := metadata.customProperties.get(key), str)
    }
    return {_STANDARD + name: value for name, value in known.items() if value}


def _modelpack_layer(layer: Layer) -> Layer:
    title = layer.descriptor.title or ""
    suffix = PurePosixPath(title).suffix.lower()
    kind = "weight"
    if suffix in _DOCUMENTS or title in {METADATA_JSON, METADATA_YAML}:
        kind = "doc"
    elif suffix in _CONFIGS:
        kind = "weight.config"
    elif suffix in _CODE:
        kind = "code"
    annotations = {**layer.descriptor.annotations, _FILEPATH: title}
    media_type = _MODELPACK_LAYER.format(kind=kind)
    return replace(layer, descriptor=replace(layer.descriptor, media_type=media_type, annotations=annotations))


def _modelpack_config(metadata: ModelMetadata, layers: Sequence[Layer]) -> bytes:
    custom = metadata.customProperties
    described: dict[str, Any] = {
        "name": metadata.name,
        "description": metadata.description,
        "authors": [metadata.author] if metadata.author else None,
        "sourceURL": metadata.uri,
        "version": custom.get("version"),
        "licenses": [custom["license"]] if isinstance(custom.get("license"), str) else None,
    }
    document = {
        "descriptor": {
            name: value
            for name, value in described.items()
            if isinstance(value, list) or (isinstance(value, str) and value)
        },
        "config": {"format": metadata.model_format_name} if metadata.model_format_name else {},
        "modelfs": {"type": "layers", "diffIds": [layer.descriptor.digest for layer in layers]},
    }
    return json.dumps(document).encode()

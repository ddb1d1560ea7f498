"""The artifacts of one finetuned version: where they stand, what they are copied from, and what its item says of them.

Nothing here copies or writes: ``local_models`` publishes, ``repair`` restores.
"""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

import orjson

from fair_dagster.domain import items
from fair_dagster.domain.errors import NotFoundError
from fair_dagster.domain.items.artifacts import PublishedArtifact
from fair_dagster.domain.publication.changes import Item
from fair_dagster.domain.publication.desired import items_of
from fair_dagster.domain.publication.local_items import (
    CHECKPOINT_ASSET,
    CONFIG_ASSET,
    LOSS_ASSET,
    MODEL_ASSET,
    PUBLISHED_ASSETS,
    THUMBNAIL_ASSET,
)
from fair_dagster.domain.requests import FinetuneRequest
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.flows.finetunes.allocations import CONFIG_FILE, run_folder
from fair_dagster.flows.services import Services
from fair_dagster.pipelines.filenames import PREVIEW_FILE
from fair_dagster.pipelines.zenml.artifacts import artifact_file


def sources_of(services: Services, version: VersionRecord) -> dict[str, Path | bytes]:
    """What a version's artifacts can be copied from again, by asset key; what is gone is left out."""
    folder = run_folder(services, version.id, version.uuid)
    files = {
        MODEL_ASSET: artifact_of(services, version, version.onnx_uri),
        CHECKPOINT_ASSET: artifact_of(services, version, version.model_uri),
        CONFIG_ASSET: folder / CONFIG_FILE,
        THUMBNAIL_ASSET: folder / PREVIEW_FILE,
    }
    found: dict[str, Path | bytes] = {key: path for key, path in files.items() if path is not None and path.is_file()}
    if history := version.training.loss_history:
        found[LOSS_ASSET] = loss_content(history)
    return found


def loss_content(history: Mapping[str, Sequence[float]]) -> bytes:
    """The loss history as it is published."""
    return orjson.dumps({name: list(values) for name, values in history.items()})


def prefix_of(version: VersionRecord) -> str:
    """Where a version's artifacts stand; the UUID tells apart versions that ZenML gave the same number."""
    return f"{items.LOCAL_MODELS}/{version.name}/v{version.number}-{version.uuid[:8]}"


def named_artifacts(published: Sequence[Item], version: VersionRecord) -> dict[str, PublishedArtifact]:
    """The artifacts of its own that a version's item names; those of another version are none."""
    item = items_of([version], published).get(version.uuid, {})
    own = f"/{prefix_of(version)}/"
    return {
        key: PublishedArtifact(str(asset["href"]), asset["file:size"], asset["file:checksum"])
        for key, asset in item.get("assets", {}).items()
        if key in PUBLISHED_ASSETS and "file:size" in asset and "file:checksum" in asset and own in str(asset["href"])
    }


def publication_problems(services: Services, version: VersionRecord, known: Container[str] = ()) -> list[str]:
    """Every reason why a version cannot be published; checked before a promotion changes anything.

    ``known`` names the assets that have been published before.
    """
    problems = []
    if FinetuneRequest.of(version) is None:
        problems.append("it was not made by this system: its base model and dataset are not known")
    if MODEL_ASSET not in known and artifact_of(services, version, version.onnx_uri) is None:
        problems.append(f"ZenML holds no ONNX model of it: {_why_gone(version.onnx_uri)}")
    if CHECKPOINT_ASSET not in known and artifact_of(services, version, version.model_uri) is None:
        problems.append(f"ZenML holds no weights of it: {_why_gone(version.model_uri)}")
    return problems


def _why_gone(uri: str | None) -> str:
    if uri is None:
        return "its training has not finished, or it was cleaned up"
    if "://" in uri:
        return f"{uri} was cleaned up"
    return (
        f"{uri} is not on this machine. It was cleaned up, or another machine has trained it on a stack of its own, "
        "which alone can publish it"
    )


def artifact_of(services: Services, version: VersionRecord, uri: str | None) -> Path | None:
    """The file of an artifact on this machine; a copy where ZenML's store is a remote one. None when it is gone."""
    if uri is None:
        return None
    try:
        return artifact_file(services.settings, uri, services.settings.cache_path / "zenml" / version.uuid)
    except NotFoundError:
        return None

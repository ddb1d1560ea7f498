"""The artifacts of one finetuned version: where they stand, what they are copied from, and their publication.

What is wrong with published artifacts, and how they are restored, stands in ``flows.reconciliation``.
"""

from collections.abc import Collection, Container, Mapping, Sequence
from pathlib import Path

import orjson

from fair_dagster.domain import items
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.artifacts import PublishedArtifact
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.desired import items_of
from fair_dagster.domain.publication.promoted_items import (
    CHECKPOINT_ASSET,
    CONFIG_ASSET,
    LOSS_ASSET,
    MODEL_ASSET,
    PUBLISHED_ASSETS,
    THUMBNAIL_ASSET,
)
from fair_dagster.domain.requests import FinetuneRequest
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.flows.publication.folders import folder_of
from fair_dagster.flows.publication.places import is_there, settle
from fair_dagster.flows.services import Services
from fair_dagster.flows.training_files import CONFIG_FILE, fetch_training, run_folder
from fair_dagster.flows.trust import acceptance
from fair_dagster.pipelines.filenames import ONNX_FILENAME, PREVIEW_FILE
from fair_dagster.pipelines.zenml.artifacts import version_file
from fair_dagster.settings import Settings
from fair_dagster.storage.local import describe
from fair_dagster.storage.store import ArtifactStore

Artifacts = Mapping[str, PublishedArtifact]
"""By asset key."""
_FILE_NAMES = {MODEL_ASSET: ONNX_FILENAME, LOSS_ASSET: "loss-history.json"}
"""What is published under another name than that of its source."""


def folder_of_version(version: VersionRecord) -> str:
    """Where a version's artifacts stand."""
    return folder_of(items.LOCAL_MODELS, version.name, version.number, version.uuid)


def key_of(version: VersionRecord, asset: str, source: Path | bytes) -> str:
    """The key in the artifact store under which a source of ``asset`` is published."""
    name = _FILE_NAMES.get(asset) or (source.name if isinstance(source, Path) else asset)
    return f"{folder_of_version(version)}/{name}"


def find_sources(
    settings: Settings, version: VersionRecord, assets: Collection[str] = PUBLISHED_ASSETS
) -> dict[str, Path | bytes]:
    """What a version's artifacts can be copied from, by asset key; what is gone is left out."""
    folder = run_folder(settings, version.id, version.uuid)
    uris = {MODEL_ASSET: version.onnx_uri, CHECKPOINT_ASSET: version.model_uri}
    files = {key: version_file(settings, version, uri) for key, uri in uris.items() if key in assets}
    files |= {CONFIG_ASSET: folder / CONFIG_FILE, THUMBNAIL_ASSET: folder / PREVIEW_FILE}
    found: dict[str, Path | bytes] = {
        key: path for key, path in files.items() if key in assets and path is not None and path.is_file()
    }
    if LOSS_ASSET in assets and (history := version.training.loss_history):
        found[LOSS_ASSET] = orjson.dumps({name: list(values) for name, values in history.items()})
    return found


def named_artifacts(published: Sequence[Item], version: VersionRecord) -> dict[str, PublishedArtifact]:
    """The artifacts of its own that a version's item names; those of another version are none."""
    item = items_of([version], published).get(version.uuid, {})
    own = f"/{folder_of_version(version)}/"
    return {
        key: PublishedArtifact(str(asset["href"]), asset["file:size"], asset["file:checksum"])
        for key, asset in item.get("assets", {}).items()
        if key in PUBLISHED_ASSETS and "file:size" in asset and "file:checksum" in asset and own in str(asset["href"])
    }


def present_artifacts(artifacts: ArtifactStore, named: Artifacts) -> dict[str, PublishedArtifact]:
    """Those of the ``named`` artifacts that are where their item says."""
    return {key: artifact for key, artifact in named.items() if is_there(artifacts, artifact)}


def publication_problems(settings: Settings, version: VersionRecord, known: Container[str] = ()) -> list[str]:
    """Every reason why a version cannot be published.

    ``known`` names the assets that have been published before.
    """
    problems = []
    if FinetuneRequest.of(version) is None:
        problems.append("it was not made by this system: its base model and dataset are not known")
    if MODEL_ASSET not in known and version_file(settings, version, version.onnx_uri) is None:
        problems.append(f"ZenML holds no ONNX model of it: {_why_gone(version.onnx_uri)}")
    if CHECKPOINT_ASSET not in known and version_file(settings, version, version.model_uri) is None:
        problems.append(f"ZenML holds no weights of it: {_why_gone(version.model_uri)}")
    return problems


def require_publishable(services: Services, act: str, version: VersionRecord, known: Artifacts) -> None:
    """Make sure that a version can be published, and may be.

    Args:
        act: what is refused otherwise.

    Raises:
        RefusedError: with every reason.
    """
    problems = publication_problems(services.settings, version, known)
    problems = problems or acceptance.version_problems(services, version, known)
    if problems:
        raise RefusedError(f"{act} of {version.id!r}", problems)


def _why_gone(uri: str | None) -> str:
    if uri is None:
        return "its training has not finished, or it was cleaned up"
    if "://" in uri:
        return f"{uri} was cleaned up"
    return (
        f"{uri} is not on this machine. It was cleaned up, or another machine has trained it on a stack of its own, "
        "which alone can publish it"
    )


def publish(services: Services, version: VersionRecord, published: Sequence[Item]) -> Artifacts:
    """Copy what a version made to where consumers find it, once.

    What was published is there to stay: only what is missing is asked of ZenML, which may have been cleaned up. The
    item goes on naming what is neither there nor to be had again: it tells what was lost.
    """
    named = named_artifacts(published, version)
    known = present_artifacts(services.artifacts, named)
    # A former version that has lost its files does not keep the others of its family from being archived or promoted.
    if version.stage == "production" or not named:
        require_publishable(services, "publication", version, known)
    if CONFIG_ASSET not in known:
        fetch_training(services.artifacts, services.settings, version.id, version.uuid)
    former, folder = services.settings.artifacts_path, folder_of_version(version)
    lacking = [key for key in PUBLISHED_ASSETS if key not in known]
    artifacts = {key: settle(services.artifacts, former, artifact, folder) for key, artifact in known.items()}
    for asset, source in find_sources(services.settings, version, lacking).items():
        target = key_of(version, asset, source)
        if isinstance(source, bytes):
            artifacts[asset] = services.artifacts.write(source, target)
        elif (artifact := _copy(services.artifacts, source, target, named.get(asset))) is not None:
            artifacts[asset] = artifact
    return named | artifacts


def _copy(
    artifacts: ArtifactStore, source: Path, target: str, named: PublishedArtifact | None
) -> PublishedArtifact | None:
    """Copy ``source``; None where it is not what the item names, because it may be damaged itself.

    Raises:
        RefusedError: another file is there that no item can vouch for. Which of the two is damaged is not known.
    """
    if named is not None:
        found = describe(source)
        if (found.size, found.checksum) != (named.size, named.checksum):
            return None
    elif (there := artifacts.look(target)) is not None and there.checksum != describe(source).checksum:
        raise RefusedError(
            f"publication of {artifacts.place(target)}",
            [f"it differs from {source} in ZenML, and no item says which is right: remove one"],
        )
    return artifacts.publish(source, target)

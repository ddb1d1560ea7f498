"""The files of a training: where they are on this machine, and what other machines have left in the artifact store.

``finetunes`` writes them, ``publication`` reads them.
"""

import uuid
from pathlib import Path

from fair_dagster.pipelines.filenames import PREVIEW_FILE
from fair_dagster.settings import Settings
from fair_dagster.storage.local import look_at
from fair_dagster.storage.store import ArtifactStore

CONFIG_FILE = "training.yaml"
RESULT_FILE = "result.json"
TRAININGS = "trainings"
"""Where in the artifact store lies what a training on another machine has left, a folder each."""
_LEFT = (CONFIG_FILE, RESULT_FILE, PREVIEW_FILE)


def run_folder(settings: Settings, partition: str, uuid: str) -> Path:
    """Where the files of one training are kept: configuration, progress, result.

    The UUID keeps apart two versions that ZenML gave the same number.
    """
    return settings.runs_path / f"{partition}-{uuid[:8]}"


def leave_training(artifacts: ArtifactStore, settings: Settings, partition: str, version: str) -> None:
    """Keep what a training on this machine has left, for the machine that publishes it.

    Args:
        version: ZenML's UUID.
    """
    folder = run_folder(settings, partition, version)
    for name in _LEFT:
        if (folder / name).is_file():
            artifacts.restore(folder / name, f"{TRAININGS}/{folder.name}/{name}")


def fetch_training(artifacts: ArtifactStore, settings: Settings, partition: str, version: str) -> None:
    """Have here what the last training has left, on whichever machine; what nobody has left stays as it is here.

    Raises:
        StorageError: the artifact store cannot be read.
    """
    if settings.executor == "local" and "://" not in settings.artifacts:
        return  # Nobody else trains for these artifacts.
    folder = run_folder(settings, partition, version)
    for name in _LEFT:
        key = f"{TRAININGS}/{folder.name}/{name}"
        left = artifacts.look(key)
        # A first attempt may have begun here, and another machine have trained it.
        if left is not None and left != look_at(folder / name):
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f".{name}.{uuid.uuid4().hex}"
            artifacts.fetch(key, part)
            part.replace(folder / name)


def left_config(artifacts: ArtifactStore, settings: Settings, partition: str, version: str) -> bytes | None:
    """The configuration that a training on another machine has left; None when there is none."""
    return artifacts.read(f"{TRAININGS}/{run_folder(settings, partition, version).name}/{CONFIG_FILE}")

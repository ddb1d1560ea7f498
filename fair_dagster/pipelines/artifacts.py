"""Files of ZenML artifacts on this machine. What is done with them afterwards belongs to storage and catalog."""

import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from fair_dagster.domain.errors import NotFoundError, StorageError
from fair_dagster.pipelines.client import open_client, zenml_errors
from fair_dagster.pipelines.filenames import CHECKPOINT_FILENAME, ONNX_FILENAME
from fair_dagster.settings import Settings

KNOWN_FILENAMES = (ONNX_FILENAME, CHECKPOINT_FILENAME, "checkpoint.pt", "entire_model.pt")
"""Ours, and what the materializers of fAIr's contributors and of ZenML's PyTorch integration write."""


def artifact_file(settings: Settings, uri: str, into: Path) -> Path:
    """The one file of an artifact, as a local path.

    Args:
        uri: the artifact's folder, as in ``VersionRecord.artifacts``. A local one is used where it lies.
        into: folder for the copy of a remote one; created when it is needed.

    Raises:
        NotFoundError: the folder is missing, empty, or holds several files of which none has a known name.
        StorageError: the copy failed; nothing is left behind.
    """
    parts = urlsplit(uri)
    if parts.scheme in ("", "file"):
        folder = Path(unquote(parts.path)) if parts.scheme else Path(uri)
        names = [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
        return folder / choose_file(uri, names)
    return _fetch(settings, uri.rstrip("/"), into)


def choose_file(uri: str, names: Sequence[str]) -> str:
    """Which of the files of an artifact holds its content.

    Raises:
        NotFoundError: it cannot be told.
    """
    shown = sorted(name for name in names if not name.startswith("."))
    known = [name for name in KNOWN_FILENAMES if name in shown]
    if known:
        return known[0]
    if len(shown) == 1:
        return shown[0]
    listed = ", ".join(shown) or "nothing"
    raise NotFoundError(f"artifact {uri}", [f"it holds {listed}, not one of {', '.join(KNOWN_FILENAMES)}"])


def _fetch(settings: Settings, uri: str, into: Path) -> Path:
    client = open_client(settings)
    with zenml_errors():
        # Opening the store registers its kind of address (s3, gs …) with ZenML's fileio.
        _ = client.active_stack.artifact_store
        from zenml.io import fileio

        names = [PurePosixPath(str(name).rstrip("/")).name for name in fileio.listdir(uri)]
        name = choose_file(uri, names)
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into) as folder:
            partial = Path(folder) / name
            try:
                fileio.copy(f"{uri}/{name}", str(partial))
            except Exception as error:
                raise StorageError(f"{uri}/{name} cannot be copied to {into}: {error}") from error
            return partial.replace(into / name)

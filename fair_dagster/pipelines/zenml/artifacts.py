"""Files of ZenML artifacts on this machine. What is done with them afterwards belongs to storage and catalog."""

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from fair_dagster.domain.errors import FairError, NotFoundError, StorageError
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.pipelines.filenames import CHECKPOINT_FILENAME, ONNX_FILENAME
from fair_dagster.pipelines.zenml.client import all_pages, open_client, zenml_errors
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from zenml.client import Client

_PIECE = 4 * 1024 * 1024

KNOWN_FILENAMES = (ONNX_FILENAME, CHECKPOINT_FILENAME, "checkpoint.pt", "entire_model.pt")
"""Ours, and what the materializers of fAIr's contributors and of ZenML's PyTorch integration write."""


def version_file(settings: Settings, version: VersionRecord, uri: str | None) -> Path | None:
    """The file of one of a version's artifacts on this machine; None when it is gone. Errors as ``artifact_file``."""
    if uri is None:
        return None
    with contextlib.suppress(NotFoundError):
        return artifact_file(settings, uri, settings.cache_path / "zenml" / version.uuid)
    return None


def artifact_file(settings: Settings, uri: str, into: Path) -> Path:
    """The one file of an artifact, as a local path.

    Args:
        uri: the artifact's folder, as in ``VersionRecord.artifacts``. A local one is used where it lies.
        into: folder for the copy of a remote one, which is fetched once; created when it is needed.

    Raises:
        NotFoundError: the folder is missing, empty, or holds several files of which none has a known name.
        StorageError: the store cannot be read, or the copy failed; nothing is left behind.
        ServiceError: ZenML cannot be asked for the store.
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
        store = _store_of(client, uri)
    # Not in this thread's turn with ZenML: others would wait for a gigabyte.
    with _store_errors(uri):
        names = [PurePosixPath(str(name).rstrip("/")).name for name in store.listdir(uri)]
        name = choose_file(uri, names)
        source = f"{uri}/{name}"
        target = into / hashlib.sha256(uri.encode()).hexdigest()[:12] / name
        size = int(store.size(source))
        # The folder of an artifact is its own: what was copied from it whole stays right.
        if not (target.is_file() and target.stat().st_size == size):
            with store.open(source, "rb") as file:
                _copy(file, source, size, target)
    return target


def _store_of(client: "Client", uri: str) -> Any:
    """The artifact store that holds ``uri``: that of the active stack, or of the stack that made the artifact.

    Raises:
        NotFoundError: none of ZenML's artifact stores does.
    """
    from zenml.artifact_stores import BaseArtifactStore
    from zenml.enums import StackComponentType

    active = client.active_stack.artifact_store
    if _holds(active.path, uri):
        return active
    rows = all_pages(client.list_stack_components, type=StackComponentType.ARTIFACT_STORE, hydrate=True)
    holding = [row for row in rows if _holds(str(row.configuration.get("path", "")), uri)]
    if not holding:
        raise NotFoundError(f"artifact {uri}", ["none of ZenML's artifact stores holds it: was its store deleted?"])
    return BaseArtifactStore.from_model(max(holding, key=lambda row: len(str(row.configuration["path"]))))


def _holds(path: str, uri: str) -> bool:
    return bool(path) and f"{uri}/".startswith(f"{path.rstrip('/')}/")


@contextlib.contextmanager
def _store_errors(uri: str) -> Iterator[None]:
    """What an artifact store raises, as errors of ours: only a store that answers can say that something is gone."""
    try:
        yield
    except FairError:
        raise
    except FileNotFoundError as error:
        raise NotFoundError(f"artifact {uri}", ["it is not in its artifact store"]) from error
    except PermissionError as error:
        raise StorageError(
            f"ZenML's artifact store does not let {uri} be read ({error}): check the credentials of the store"
        ) from error
    except Exception as error:
        raise StorageError(
            f"{uri} cannot be read from ZenML's artifact store ({type(error).__name__}: {error})"
        ) from error


def _copy(file: Any, source: str, size: int, target: Path) -> None:
    """Copy ``file`` to ``target`` piece by piece; ``target`` appears when it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".part-") as folder:
        partial = Path(folder) / target.name
        with partial.open("wb") as copy:
            shutil.copyfileobj(file, copy, _PIECE)
        if (copied := partial.stat().st_size) != size:
            raise StorageError(f"{source} ended after {copied} of {size} bytes: try again")
        partial.replace(target)

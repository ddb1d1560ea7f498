"""Names of ``fair.utils.data``: where a pipeline's chips, labels and weights are on this machine.

The system fetches what lies behind URLs before a run, under its own limits, so a plain path comes back as it
is. Objects of an artifact store (``s3://`` and so on) are read through ZenML, with the stack's credentials.
"""

import fnmatch
import tempfile
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from fair_dagster.domain.errors import StorageError
from fair_dagster.settings import Settings

__all__ = ["count_chips", "list_files", "resolve_directory", "resolve_path"]

_CHIP_PATTERNS = ("*.tif", "*.tiff", "*.png", "*.jpg", "*.jpeg")


def list_files(href: str, pattern: str = "*") -> list[str]:
    """Files directly under ``href`` whose name matches ``pattern``, sorted."""
    local = _local(href)
    if local is not None:
        return sorted(str(path) for path in local.glob(pattern) if path.is_file())
    from zenml.io import fileio

    base = href.rstrip("/")
    names = (str(name).rstrip("/") for name in fileio.listdir(base))
    return sorted(f"{base}/{name}" for name in names if fnmatch.fnmatch(name, pattern))


def count_chips(chips_href: str) -> int:
    """How many image files a folder of chips holds."""
    return len({path for pattern in _CHIP_PATTERNS for path in list_files(chips_href, pattern)})


def resolve_path(href: str, local_dir: Path | None = None) -> Path:
    """A local path of one file; an object of an artifact store is copied to the cache once.

    Raises:
        StorageError: it cannot be read, or is a web URL, which the system fetches before a run.
    """
    local = _local(href)
    if local is not None:
        return local
    parts = urlsplit(href)
    inside = PurePosixPath(unquote(parts.path).lstrip("/"))
    if ".." in inside.parts:
        raise StorageError(f"{href} leaves its bucket: write it without '..'")
    target = (local_dir or Settings().cache_path / "data") / parts.scheme / parts.netloc / inside
    if not target.exists():
        _copy(href, target)
    return target


def resolve_directory(href: str, pattern: str = "*", local_dir: Path | None = None) -> Path:
    """A local folder with the files of ``href`` that match ``pattern``; a local folder comes back as it is.

    Raises:
        FileNotFoundError: nothing matches.
        StorageError: as ``resolve_path``.
    """
    local = _local(href)
    if local is not None:
        return local
    files = list_files(href, pattern)
    if not files:
        raise FileNotFoundError(f"no file of {href} matches {pattern!r}")
    copies = [resolve_path(file, local_dir) for file in files]
    return copies[0].parent


def _local(href: str) -> Path | None:
    parts = urlsplit(href)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if parts.scheme in ("http", "https"):
        raise StorageError(f"{href} is a web address: give the run a local copy or an artifact store's URI")
    return None if "://" in href else Path(href)


def _copy(href: str, target: Path) -> None:
    from zenml.io import fileio

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            partial = Path(folder) / target.name
            fileio.copy(href, str(partial))
            partial.replace(target)
    except Exception as error:
        raise StorageError(f"{href} cannot be copied from the artifact store: {error}") from error

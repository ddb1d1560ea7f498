"""The lock around every write of a JSON catalog: one writer at a time, on all processes of a machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fair_dagster.domain.errors import CatalogError

LOCK_SECONDS = 60.0
_LOCK = ".lock"


@contextmanager
def hold_lock(root: Path, timeout: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the lock of the catalog at ``root``, whose folder is created.

    Args:
        timeout: seconds to wait for another writer.

    Raises:
        CatalogError: another writer took longer, or the folder cannot be written.
    """
    lock = FileLock(root / _LOCK, timeout=timeout, poll_interval=0.005)
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise CatalogError(
            f"another process has been writing the catalog at {root} for {timeout:g} s; "
            "try again, or look for a process that hangs"
        ) from error
    except OSError as error:
        raise CatalogError(f"the catalog at {root} could not be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()

"""Notifications that wait for somebody to look: a file each, under a name that follows from what it says.

A repeated notification is the same file. What a notification means stands in ``domain.oci_pushes``.
"""

import contextlib
import hashlib
import json
import time
from pathlib import Path

from fair_dagster.domain.errors import RefusedError, StorageError
from fair_dagster.net.files import replace
from fair_dagster.oci.notifications.pushes import Push

MOST = 10_000
"""That may wait: who forges them by the million fills no disk."""
_SUFFIX = ".json"
_KEPT_SECONDS = 24 * 3600
"""By then the tags have been looked at."""


class Inbox:
    """A folder of notifications. Processes of one machine may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, push: Push) -> None:
        """Keep a notification until it was answered.

        Raises:
            RefusedError: too many wait already.
            StorageError: the disk refuses.
        """
        name = hashlib.sha256(f"{push.repository}@{push.digest}".encode()).hexdigest()[:32]
        path = self._folder / f"{name}{_SUFFIX}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not path.exists() and sum(1 for _ in self._folder.iterdir()) >= MOST:
                raise RefusedError("a notification", [f"{MOST} wait already in {self._folder}: is the sensor running?"])
            content = json.dumps({"repository": push.repository, "digest": push.digest})
            replace(path, content.encode(), is_public=True)
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror or error}") from error

    def waiting(self) -> dict[str, Push]:
        """Notifications by name, oldest first; what is none is left out, and what is a day old forgotten.

        Raises:
            StorageError: the folder cannot be read.
        """
        found: dict[str, Push] = {}
        try:
            times = self._times()
            for path in sorted(times, key=lambda one: times[one]):
                # What a killed process has left half-written is forgotten with the rest.
                if time.time() - times[path] > _KEPT_SECONDS:
                    path.unlink(missing_ok=True)
                    continue
                if path.suffix != _SUFFIX:
                    continue
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    told = json.loads(path.read_bytes())
                    push = Push.of(told["repository"], told["digest"])
                    found |= {path.name: push} if push else {}
        except OSError as error:
            raise StorageError(f"{self._folder} cannot be read: {error.strerror or error}") from error
        return found

    def _times(self) -> dict[Path, float]:
        """When each file was written, as seconds since 1970."""
        times: dict[Path, float] = {}
        for path in self._folder.glob("*"):
            with contextlib.suppress(FileNotFoundError):
                times[path] = path.stat().st_mtime
        return times

    def remove(self, names: tuple[str, ...]) -> None:
        """Forget notifications that were answered; one that cannot be removed is answered again, which does nothing."""
        for name in names:
            with contextlib.suppress(OSError):
                (self._folder / Path(name).name).unlink(missing_ok=True)

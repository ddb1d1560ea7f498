"""What is known of a training that is tracked, from its beginning until its run is complete: a file each.

The file is removed when the run has ended and, where there is another tracker, was copied to it.
"""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from fair_dagster.net.files import write_json
from fair_dagster.net.processes import Process
from fair_dagster.settings import Settings

KEY_TAG = "fair.tracking_key"
VERSION_TAG = "fair.zenml_version_id"
Ending = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class TrackedTraining:
    """One training.

    Attributes:
        key: the value of the tag by which its run is found in every tracker; never used again.
        experiment: the slug of the base model; its finetunes are compared with each other.
        name: the version that is trained.
        result: the runner's result file.
        elsewhere: whether its run is to be copied to another tracker.
        owner, machine: the process that waits for the training; when it is gone, the training was killed.
        problem: why the last try to complete it failed.
    """

    key: str
    experiment: str
    name: str
    version_uuid: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    begun: str
    result: str
    elsewhere: bool
    owner: str = ""
    machine: str = field(default_factory=socket.gethostname)
    ending: Ending | None = None
    ended: str = ""
    problem: str | None = None

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The training of a file; None when there is none, or another version of this program wrote it."""
        with suppress(OSError, ValueError, TypeError):
            return cls(**json.loads(path.read_bytes()))
        return None

    def write(self, settings: Settings) -> Path:
        """Replace its file.

        Raises:
            StorageError: the disk refuses.
        """
        path = self.path(settings)
        write_json(path, asdict(self))
        return path

    def path(self, settings: Settings) -> Path:
        return trainings_folder(settings) / f"{self.key}.json"

    def amend(self, settings: Settings, **changed: Any) -> None:
        """Change its file, unless the training is complete already and the file is gone."""
        if (current := self.read(self.path(settings))) is not None:
            replace(current, **changed).write(settings)

    def ended_as(self, ending: Ending) -> Self:
        return replace(self, ending=ending, ended=datetime.now(UTC).isoformat())

    @property
    def all_tags(self) -> dict[str, str]:
        return {**self.tags, KEY_TAG: self.key, VERSION_TAG: self.version_uuid}

    def outcome(self) -> dict[str, Any]:
        """The result that the runner left; empty when it was killed before it could."""
        with suppress(OSError, ValueError):
            found = json.loads(Path(self.result).read_bytes())
            return found if isinstance(found, dict) else {}
        return {}

    def or_killed(self) -> Self:
        """The training, ended as killed when the process that waited for it is gone.

        Nothing is known here of processes on other machines.
        """
        owner = Process.parse(self.owner)
        is_here = self.machine == socket.gethostname()
        lost = self.ending is None and is_here and owner is not None and not owner.alive
        return self.ended_as("KILLED") if lost else self


def trainings_folder(settings: Settings) -> Path:
    return settings.tracking_path / "trainings"


def deletions_folder(settings: Settings) -> Path:
    """A file for each deleted version whose runs are to be marked: its UUID, holding the time."""
    return settings.tracking_path / "deleted"


def open_trainings(settings: Settings) -> Iterator[TrackedTraining]:
    """The trainings that are not complete, the oldest first."""
    found = (TrackedTraining.read(path) for path in trainings_folder(settings).glob("*.json"))
    yield from sorted((one.or_killed() for one in found if one is not None), key=lambda one: one.begun)

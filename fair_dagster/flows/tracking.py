"""Trainings in the experiment tracker: put into the outbox, closed there, and what people are told of it.

Nothing here waits for a tracker for long, and nothing raises because of one: what cannot be sent now is sent later.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import yaml

from fair_dagster.domain.errors import FairError
from fair_dagster.domain.slugs import version_id
from fair_dagster.flows.finetunes.allocations import CONFIG_FILE, Allocation, run_folder
from fair_dagster.flows.services import Services
from fair_dagster.net.processes import Process
from fair_dagster.pipelines.metadata import TRACKING_VARIABLE
from fair_dagster.settings import Settings
from fair_dagster.tracking import outbox
from fair_dagster.tracking.environment import sender_environment, training_environment
from fair_dagster.tracking.outbox import Amendment, Ending, Entry, Note, TrackedRun

NOTE_FILE = "tracked.json"
# The shell is gone at once, and nobody has to wait for what it leaves behind.
_IN_BACKGROUND = ("/bin/sh", "-c", '"$@" &', "sh")
_PATIENCE_SECONDS = 15.0
_POLL_SECONDS = 0.05


@dataclass
class Tracked:
    """A training that is tracked, or is not.

    Attributes:
        environment: variables for the process that trains.
        problem: why it is not, or not yet.
    """

    entry: Entry | None = None
    note_path: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None

    def wait(self) -> Note | None:
        """The note of a training that has ended, once it is sent; ``problem`` is set when that takes too long."""
        if self.entry is None or self.note_path is None:
            return None
        until = time.monotonic() + _PATIENCE_SECONDS
        note = Note.of(self.note_path, self.entry.folder.name)
        while (note is None or note.status == outbox.RUNNING) and time.monotonic() < until:
            if self.entry.sent().get("problem"):
                break
            time.sleep(_POLL_SECONDS)
            note = Note.of(self.note_path, self.entry.folder.name)
        if note is None or note.status == outbox.RUNNING:
            reason = self.entry.sent().get("problem") or f"the tracker took more than {_PATIENCE_SECONDS:g} s"
            self.problem = f"not sent yet: {reason}. It is kept in {self.entry.folder} and sent later"
        return note


@contextlib.contextmanager
def tracked(services: Services, owner: Allocation, dagster_run: str, result: Path) -> Iterator[Tracked]:
    """Track what happens inside as one training of ``owner``.

    Args:
        dagster_run: id of Dagster's run.
        result: the runner's result file, which says how a training ended that did not end well.
    """
    found = _begin(services, owner, dagster_run)
    try:
        yield found
    except BaseException:
        _end(found, _ending(result))
        raise
    _end(found, "FINISHED")


def close(services: Services, partition: str, uuid: str | None) -> None:
    """Close what is tracked of a version whose training was killed, wherever that was.

    Costs nothing when its sender has done so, or nothing was tracked from here and there is no server to ask.

    Args:
        uuid: the version's; None, of a run that the UI started, closes nothing: its sender does.
    """
    settings = services.settings
    if settings.tracking == "none" or uuid is None:
        return
    with contextlib.suppress(FairError, OSError, subprocess.SubprocessError):
        mine = [entry for entry in outbox.entries(_outbox(services)) if _is_of(entry, uuid)]
        note = Note.newest(note_path(services, partition, uuid))
        for entry in mine:
            entry.end("KILLED")
        if mine:
            _start_sender(services, None)
        elif settings.tracking_uri and (note is None or note.status == outbox.RUNNING):
            # Sent by a process of another machine, which had an outbox of its own.
            _amend(services, "killed", Amendment(uuid, ending="KILLED"))


def forget(services: Services, partition: str, uuid: str) -> None:
    """Mark what is tracked of a version that is being deleted: it stays as a record, and its number may come again."""
    if services.settings.tracking == "none" or Note.newest(note_path(services, partition, uuid)) is None:
        return
    with contextlib.suppress(FairError, OSError, subprocess.SubprocessError):
        _amend(services, "deleted", Amendment(uuid, tags={"fair.deleted": datetime.now(UTC).isoformat()}))


def note_path(services: Services, partition: str, uuid: str) -> Path:
    """The file that says where the trainings of a version are tracked."""
    return run_folder(services.settings, partition, uuid) / NOTE_FILE


@dataclass(frozen=True)
class Waiting:
    """A training, or a word about one, that is not wholly sent yet.

    ``state`` is ``running`` while the training goes on, ``waiting`` afterwards.
    """

    key: str
    state: str
    problem: str | None


def waiting(services: Services) -> list[Waiting]:
    """What is in the outbox, the oldest first."""
    return [
        Waiting(
            entry.folder.name,
            "running" if entry.run() is not None and entry.ending() is None else "waiting",
            entry.sent().get("problem"),
        )
        for entry in outbox.entries(_outbox(services))
    ]


def send_waiting(services: Services) -> list[Waiting]:
    """Send what waits, now; returns what is left. Of what others are sending nothing is taken away."""
    _run_sender(services, (), None)
    return [entry for entry in waiting(services) if entry.state == "waiting"]


def _begin(services: Services, owner: Allocation, dagster_run: str) -> Tracked:
    if services.settings.tracking == "none":
        return Tracked()
    try:
        run = _run(services, owner, dagster_run)
        entry = outbox.add_run(_outbox(services), run)
        _start_sender(services, entry)
    except (FairError, OSError, subprocess.SubprocessError) as error:
        return Tracked(problem=f"this training is not tracked: {error}")
    environment = {**training_environment(services.settings, entry), TRACKING_VARIABLE: str(entry.events_path)}
    return Tracked(entry, Path(run.note), environment)


def _run(services: Services, owner: Allocation, dagster_run: str) -> TrackedRun:
    settings, request = services.settings, owner.request
    folder = run_folder(services.settings, owner.partition, owner.uuid)
    config = yaml.safe_load((folder / CONFIG_FILE).read_text())
    begun = datetime.now(UTC)
    return TrackedRun(
        key=f"{owner.partition}-{owner.uuid[:8]}-{dagster_run[:8]}-{begun:%H%M%S}",
        experiment=request.base_model,
        name=owner.partition,
        version_uuid=owner.uuid,
        note=str(note_path(services, owner.partition, owner.uuid)),
        params={name: str(value) for name, value in config["parameters"]["hyperparameters"].items()},
        tags=_tags(owner, dagster_run),
        begun=begun.isoformat(),
        adopt=f"{owner.partition}-" if _zenml_tracks_there_too(settings) else "",
        owner=str(Process.of(os.getpid())),
    )


def _zenml_tracks_there_too(settings: Settings) -> bool:
    """Whether ZenML's experiment tracker opens a run that is to be the only one."""
    return bool(settings.experiment_tracker and settings.tracking == "mlflow" and settings.tracking_uri)


def _tags(owner: Allocation, dagster_run: str) -> dict[str, str]:
    """The ids under which everything else knows the training. Slugs and versions are those of the STAC items."""
    request = owner.request
    return {
        "fair.model": request.model_name,
        "fair.version": owner.partition,
        "fair.base_model": version_id(request.base_model, request.base_model_version),
        "fair.dataset": version_id(request.dataset, request.dataset_version),
        "dagster.run_id": dagster_run,
        **({"fair.rerun_of": request.rerun_of} if request.rerun_of else {}),
        **({"fair.user": request.user} if request.user else {}),
    }


def _ending(result: Path) -> Ending:
    """How a training ended that raised. Without a result it was killed, or stopped before it could say so."""
    try:
        status = yaml.safe_load(result.read_text()).get("status")
    except (OSError, yaml.YAMLError, AttributeError):
        return "KILLED"
    return "FAILED" if status in ("failed", "completed") else "KILLED"


def _end(found: Tracked, ending: Ending) -> None:
    if found.entry is None:
        return
    try:
        found.entry.end(ending)
    except (FairError, OSError) as error:
        # The sender closes it as killed once this process is gone.
        found.problem = f"how this training ended cannot be tracked: {error}"


def _amend(services: Services, what: str, amendment: Amendment) -> None:
    outbox.add_amendment(_outbox(services), f"{amendment.version_uuid}-{what}", amendment)
    _start_sender(services, None)


def _is_of(entry: Entry, uuid: str) -> bool:
    run = entry.run()
    return run is not None and run.version_uuid == uuid


def _outbox(services: Services) -> Path:
    return services.settings.tracking_path / "outbox"


def _start_sender(services: Services, entry: Entry | None) -> None:
    """In a session of its own, and no child of ours: neither Ctrl-C nor the end of this run's processes is for it."""
    _run_sender(services, _IN_BACKGROUND, entry).check_returncode()


def _run_sender(services: Services, before: Sequence[str], entry: Entry | None) -> "subprocess.CompletedProcess[bytes]":
    log = _outbox(services) / "sender.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    following = [str(entry.folder)] if entry else []
    with log.open("ab") as output:
        return subprocess.run(
            [*before, sys.executable, "-m", "fair_dagster.tracking.sender", *following],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, **sender_environment(services.settings, os.environ)},
        )

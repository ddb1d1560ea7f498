"""How a training gets into the outbox and is closed there; what sends it has tests of its own."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.domain.versions import VersionRecord
from fair_dagster.flows import tracking
from fair_dagster.flows.finetunes import allocations
from fair_dagster.flows.services import Services
from fair_dagster.settings import Settings
from fair_dagster.tracking import outbox
from fair_dagster.tracking.outbox import Entry, Note
from tests.flows.conftest import Installation


@pytest.fixture
def senders(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """The environments of the senders that would have been started."""
    started: list[dict[str, str]] = []

    def run(_command: Sequence[str], *, env: dict[str, str], **_: Any) -> "subprocess.CompletedProcess[bytes]":
        started.append(env)
        return subprocess.CompletedProcess((), 0)

    monkeypatch.setattr(subprocess, "run", run)
    return started


@pytest.fixture
def version(installation: Installation) -> VersionRecord:
    return installation.trained(epochs=3)


def with_settings(installation: Installation, **changed: Any) -> Services:
    settings = Settings(**{**installation.services.settings.model_dump(), **changed})
    services = Services(settings)
    services.__dict__["versions"] = installation.versions
    return services


def entries_of(services: Services) -> list[Entry]:
    return list(outbox.entries(services.settings.tracking_path / "outbox"))


@pytest.mark.parametrize(
    ("result", "ending"),
    [
        ({"status": "failed"}, "FAILED"),
        ({"status": "completed"}, "FAILED"),
        ({"status": "stopped"}, "KILLED"),
        (None, "KILLED"),
    ],
)
def test_a_training_ends_as_its_result_says(
    result: dict[str, str] | None, ending: str, installation: Installation, version: VersionRecord, senders: list[Any]
) -> None:
    """``completed`` with an error: the pipeline ran, and what came after it failed."""
    services = installation.services
    owner, path = (
        allocations.allocation_of(services.versions, services.settings, version.id),
        installation.services.settings.home / "result.json",
    )
    if result is not None:
        path.write_text(json.dumps(result))

    def train() -> None:
        with tracking.tracked(services, owner, "7a1c0000", path):
            assert [one.state for one in tracking.waiting(services)] == ["running"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    (entry,) = entries_of(services)
    assert entry.ending() == ending
    assert [one.state for one in tracking.waiting(services)] == ["waiting"]
    assert len(senders) == 1


def test_what_is_tracked_names_the_exact_versions_and_hyperparameters(
    installation: Installation, version: VersionRecord, senders: list[Any]
) -> None:
    owner = allocations.allocation_of(installation.services.versions, installation.services.settings, version.id)
    with tracking.tracked(installation.services, owner, "7a1c0000", Path("none")) as tracked:
        pass
    assert tracked.entry is not None
    assert tracked.entry.ending() == "FINISHED"
    run = tracked.entry.run()
    assert run is not None
    assert (run.experiment, run.name, run.version_uuid) == ("texture-segmentation", version.id, version.uuid)
    assert run.params["epochs"] == "3"
    assert run.tags["fair.base_model"] == "texture-segmentation-v1"
    assert run.tags["fair.dataset"] == "town-v1"
    assert run.tags["dagster.run_id"] == "7a1c0000"
    assert tracked.environment["MLFLOW_TRACKING_URI"] == tracked.entry.contributed_path.as_uri()


def test_no_tracking_means_no_process_and_no_file(
    installation: Installation, version: VersionRecord, senders: list[Any]
) -> None:
    services = with_settings(installation, tracking="none")
    owner = allocations.allocation_of(services.versions, services.settings, version.id)
    with tracking.tracked(services, owner, "7a1c0000", Path("none")) as tracked:
        assert not tracked.environment
    tracking.close(services, version.id, version.uuid)
    tracking.forget(services, version.id, version.uuid)
    assert tracked.wait() is None
    assert tracked.problem is None
    assert not senders
    assert not services.settings.tracking_path.exists()


def test_an_outbox_that_cannot_be_written_is_told_and_stops_nothing(
    installation: Installation, version: VersionRecord, senders: list[Any]
) -> None:
    services = installation.services
    services.settings.tracking_path.write_text("in the way")
    owner = allocations.allocation_of(services.versions, services.settings, version.id)
    with tracking.tracked(services, owner, "7a1c0000", Path("none")) as tracked:
        pass
    assert tracked.wait() is None
    assert "cannot be" in (tracked.problem or "")
    assert not senders


def test_a_tracker_that_is_away_is_told_at_once_with_where_the_training_is_kept(
    installation: Installation, version: VersionRecord, senders: list[Any]
) -> None:
    owner = allocations.allocation_of(installation.services.versions, installation.services.settings, version.id)
    with tracking.tracked(installation.services, owner, "7a1c0000", Path("none")) as tracked:
        assert tracked.entry is not None
        tracked.entry.save_sent({"problem": "nobody answers"})
    assert tracked.wait() is None
    assert tracked.problem == f"not sent yet: nobody answers. It is kept in {tracked.entry.folder} and sent later"


def test_a_killed_training_is_closed_here_or_by_its_version(
    installation: Installation, version: VersionRecord, senders: list[Any]
) -> None:
    services = with_settings(installation, tracking_uri="http://127.0.0.1:9")
    owner = allocations.allocation_of(services.versions, services.settings, version.id)
    with tracking.tracked(services, owner, "7a1c0000", Path("none")) as tracked:
        tracking.close(services, version.id, version.uuid)
    (entry,) = entries_of(services)
    assert entry.ending() == "KILLED", "what was said first is right"
    entry.remove()
    # Another machine trained it: there is no entry here, and no note.
    tracking.close(services, version.id, version.uuid)
    tracking.close(services, version.id, version.uuid)
    (left,) = entries_of(services)
    amendment = left.amendment()
    assert amendment is not None
    assert (amendment.version_uuid, amendment.ending) == (version.uuid, "KILLED")
    assert tracked.entry is not None
    # One that has ended is left alone.
    left.remove()
    Note("mlflow", "id", "url", "FINISHED").write(tracking.note_path(services, version.id, version.uuid), "key")
    tracking.close(services, version.id, version.uuid)
    assert not entries_of(services)


def test_a_deleted_version_is_marked_in_the_tracker(
    installation: Installation, version: VersionRecord, senders: list[Any]
) -> None:
    services = installation.services
    tracking.forget(services, version.id, version.uuid)
    assert not entries_of(services), "it was never tracked"
    Note("mlflow", "id", "url", "FINISHED").write(tracking.note_path(services, version.id, version.uuid), "key")
    tracking.forget(services, version.id, version.uuid)
    (entry,) = entries_of(services)
    amendment = entry.amendment()
    assert amendment is not None
    assert set(amendment.tags) == {"fair.deleted"}


def test_a_password_of_the_tracker_is_in_no_address_that_a_client_prints(
    installation: Installation, version: VersionRecord, senders: list[dict[str, str]]
) -> None:
    services = with_settings(installation, tracking_uri="https://me:p%40ss@mlflow.example.org")
    owner = allocations.allocation_of(services.versions, services.settings, version.id)
    with tracking.tracked(services, owner, "7a1c0000", Path("none")):
        pass
    (environment,) = senders
    assert environment["FAIR_TRACKING_URI"] == "https://mlflow.example.org"
    assert (environment["MLFLOW_TRACKING_USERNAME"], environment["MLFLOW_TRACKING_PASSWORD"]) == ("me", "p@ss")
    assert "p%40ss" not in "".join(environment.values())

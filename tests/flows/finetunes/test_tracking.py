"""How a training is noted before it begins, and what waits afterwards; the copying has tests of its own."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fair_dagster.domain.versions import VersionRecord
from fair_dagster.flows.finetunes import allocations, tracking
from fair_dagster.flows.services import Services
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.ops.training import deliver_tracked
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.pipelines.metadata import TRACKING_VARIABLE
from fair_dagster.pipelines.tracking.delivery import Delivered, Delivery
from fair_dagster.pipelines.tracking.trainings import TrackedTraining, deletions_folder, open_trainings
from fair_dagster.settings import Settings
from sensors.tracking import tracking_sensors
from tests.installations import Installation


@pytest.fixture
def version(installation: Installation) -> VersionRecord:
    return installation.trained(epochs=3)


def with_settings(installation: Installation, **changed: Any) -> Services:
    settings = Settings(**{**installation.services.settings.model_dump(), **changed})
    services = Services(settings)
    services.__dict__["versions"] = installation.versions
    return services


def noted(services: Services) -> TrackedTraining:
    (training,) = open_trainings(services.settings)
    return training


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
    result: dict[str, str] | None, ending: str, installation: Installation, version: VersionRecord
) -> None:
    """``completed`` with an error: the pipeline ran, and what came after it failed."""
    services = installation.services
    owner, path = (
        allocations.allocation_of(services.versions, services.settings, version.id),
        services.settings.home / "result.json",
    )
    if result is not None:
        path.write_text(json.dumps(result))

    def train() -> None:
        with tracking.tracked(services, owner, "7a1c0000", path):
            assert [one.state for one in tracking.waiting(services)] == ["running"]
            assert not tracking.due(services)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    assert noted(services).ending == ending
    assert [one.state for one in tracking.waiting(services)] == ["waiting"]
    assert tracking.due(services) == [noted(services).key]


def test_what_is_tracked_names_the_exact_versions_and_hyperparameters(
    installation: Installation, version: VersionRecord
) -> None:
    services = installation.services
    owner = allocations.allocation_of(services.versions, services.settings, version.id)
    with tracking.tracked(services, owner, "7a1c0000", Path("none")) as tracked:
        pass
    training = noted(services)
    assert training.ending == "FINISHED"
    assert (training.experiment, training.name) == ("texture-segmentation", version.id)
    assert training.version_uuid == version.uuid
    assert training.params["epochs"] == "3"
    assert training.tags["fair.base_model"] == "texture-segmentation-v1"
    assert training.tags["fair.dataset"] == "town-v1"
    assert training.tags["dagster.run_id"] == "7a1c0000"
    assert tracked.environment[TRACKING_VARIABLE] == str(training.path(services.settings))
    local = f"sqlite:///{services.settings.home}/tracking/mlflow.db"
    assert tracked.environment["MLFLOW_TRACKING_URI"] == local
    assert training.key in tracked.environment["MLFLOW_RUN_CONTEXT"]


def test_a_training_whose_run_is_complete_is_not_noted_again(
    installation: Installation, version: VersionRecord
) -> None:
    services = installation.services
    owner = allocations.allocation_of(services.versions, services.settings, version.id)
    with tracking.tracked(services, owner, "7a1c0000", Path("none")):
        noted(services).path(services.settings).unlink()
    assert not tracking.waiting(services)


def test_no_tracking_means_no_file(installation: Installation, version: VersionRecord) -> None:
    services = with_settings(installation, tracking="none")
    owner = allocations.allocation_of(services.versions, services.settings, version.id)
    with tracking.tracked(services, owner, "7a1c0000", Path("none")) as tracked:
        assert not tracked.environment
    tracking.forget(services, version.uuid)
    assert tracked.problem is None
    assert not services.settings.tracking_path.exists()


def test_a_disk_that_refuses_is_reported_and_stops_nothing(installation: Installation, version: VersionRecord) -> None:
    services = installation.services
    services.settings.tracking_path.write_text("in the way")
    owner = allocations.allocation_of(services.versions, services.settings, version.id)
    with tracking.tracked(services, owner, "7a1c0000", Path("none")) as tracked:
        assert not tracked.environment
    assert "cannot be" in (tracked.problem or "")
    tracking.forget(services, version.uuid)


def test_a_password_of_the_tracker_is_in_no_file_and_no_variable(
    installation: Installation, version: VersionRecord
) -> None:
    services = with_settings(installation, tracking_uri="https://me:p%40ss@mlflow.example.org")
    owner = allocations.allocation_of(services.versions, services.settings, version.id)
    with tracking.tracked(services, owner, "7a1c0000", Path("none")) as tracked:
        pass
    assert noted(services).elsewhere
    written = noted(services).path(services.settings).read_text() + "".join(tracked.environment.values())
    assert "p%40ss" not in written
    assert "p@ss" not in written


def test_a_deleted_version_is_due_to_be_marked(installation: Installation, version: VersionRecord) -> None:
    services = installation.services
    tracking.forget(services, version.uuid)
    assert [path.name for path in deletions_folder(services.settings).iterdir()] == [version.uuid]
    assert tracking.due(services) == [version.uuid]


def test_the_sensor_asks_once_an_hour_for_what_waits(
    installation: Installation, version: VersionRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = installation.services
    monkeypatch.setattr("fair_dagster.orchestration.resources.shared_services", lambda _: services)
    (sensor,) = tracking_sensors(services.settings, [])
    with dg.DagsterInstance.ephemeral() as instance:

        def tick() -> Any:
            context = dg.build_sensor_context(instance=instance, resources={"fair": FairResource()})
            return sensor(context)

        assert isinstance(tick(), dg.SkipReason)
        owner = allocations.allocation_of(services.versions, services.settings, version.id)
        with tracking.tracked(services, owner, "7a1c0000", Path("none")):
            assert isinstance(tick(), dg.SkipReason), "its training goes on"
        first, second = tick(), tick()
        assert first.run_key == second.run_key
        tracking.forget(services, version.uuid)
        assert tick().run_key != first.run_key, "something new waits"


def test_the_job_is_tried_again_and_says_where_a_training_is_tracked(
    installation: Installation, version: VersionRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where a try that fails is not repeated, or where what was delivered before it failed is forgotten."""
    services = installation.services
    owner = allocations.allocation_of(services.versions, services.settings, version.id)
    with tracking.tracked(services, owner, "7a1c0000", Path("none")):
        pass
    sent = Delivered(noted(services), "https://mlflow.example.org/#/runs/1", "1")
    answers = [Delivery((sent,), "nobody answers"), Delivery()]
    monkeypatch.setattr(tracking, "deliver_waiting", lambda _: answers.pop(0))
    monkeypatch.setattr("fair_dagster.orchestration.resources.shared_services", lambda _: services)
    assert deliver_tracked.retry_policy is not None
    assert deliver_tracked.retry_policy.max_retries >= 3

    @dg.job(op_retry_policy=None)
    def quick() -> None:
        deliver_tracked.with_retry_policy(dg.RetryPolicy(max_retries=1))()

    with dg.DagsterInstance.ephemeral() as instance:
        ended = quick.execute_in_process(instance=instance, resources={"fair": FairResource()})
        assert ended.success
        asset = keys.finetuned_model("texture-segmentation")
        (record,) = instance.fetch_observations(asset, limit=5).records
    observation = record.asset_observation
    assert observation is not None
    assert observation.partition == version.id
    assert observation.metadata["tracking"].value == "https://mlflow.example.org/#/runs/1"

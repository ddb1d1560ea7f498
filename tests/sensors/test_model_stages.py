"""The stage sensor as Dagster calls it, over a real ZenML that a plain client changes.

What it decides is held on fakes, in ``tests/flows/publication/test_stages``.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import dagster as dg
import pytest

from fair_dagster.definitions import build_defs
from fair_dagster.domain.errors import ServiceError
from fair_dagster.domain.publication.stage_changes import StagesCursor
from fair_dagster.domain.requests import FinetuneRequest
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.resources import FairResource
from fair_dagster.pipelines.zenml.client import open_client
from fair_dagster.pipelines.zenml.model_versions import ModelVersions
from fair_dagster.pipelines.zenml.stages import Stages
from fair_dagster.settings import Settings
from tests.sensors.stages import BASE, World

PARTITIONS = keys.finetunes_name(BASE)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "models" / BASE).mkdir(parents=True)
    (tmp_path / "models" / BASE / "pipeline.py").touch()
    return Settings(home=tmp_path / "home", models=tmp_path / "models", catalog="", sensor_interval=30)


class Ticking:
    """The sensor with its cursor, and a daemon's part: partitions are added and deleted, keys launch once."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance, world: World) -> None:
        self.world, self.instance = world, instance
        self.definitions = build_defs(settings=settings)
        self.cursor: str | None = None

    def tick(self) -> list[dg.RunRequest]:
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, definitions=self.definitions)
        sensor = self.definitions.resolve_sensor_def(keys.STAGES_SENSOR)
        result = cast(dg.SensorResult, sensor(context, fair=FairResource()))
        self.cursor = result.cursor
        for request in result.dynamic_partitions_requests or []:
            if isinstance(request, dg.AddDynamicPartitionsRequest):
                self.instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
            else:
                for key in request.partition_keys:
                    self.instance.delete_dynamic_partition(request.partitions_def_name, key)
        return list(result.run_requests or [])

    def published(self) -> list[tuple[str | None, str | None, str]]:
        """Tick, let the runs publish, and say which they were: job, partition, cause."""
        requests = self.tick()
        for request in requests:
            self.world.publish(request.tags[keys.TAG_MODEL])
        return [(one.job_name, one.partition_key, one.tags[keys.TAG_CAUSE]) for one in requests]

    def launch(self, request: dg.RunRequest, status: dg.DagsterRunStatus) -> None:
        self.instance.add_run(
            dg.DagsterRun(
                job_name=str(request.job_name),
                run_id=str(uuid4()),
                status=status,
                tags={**request.tags, "dagster/sensor_name": keys.STAGES_SENSOR},
            )
        )


@pytest.fixture
def ticking(settings: Settings, instance: dg.DagsterInstance, act_on: Callable[[Any], None]) -> Ticking:
    world = World()
    act_on(world)
    return Ticking(settings, instance, world)


def test_a_request_names_job_partition_model_and_cause_and_adds_the_partition(ticking: Ticking) -> None:
    ticking.world.create("town", stage="production")
    (request,) = ticking.tick()
    assert (request.job_name, request.partition_key) == ("publish__ramp", "town-v1")
    assert request.tags == {keys.TAG_MODEL: "town", keys.TAG_CAUSE: "v1 production"}
    assert str(request.run_key).startswith("town:")
    assert ticking.instance.get_dynamic_partitions(PARTITIONS) == ["town-v1"]


def test_dagster_takes_the_requests_for_its_jobs(ticking: Ticking) -> None:
    """Jobs, partition and configuration of both kinds of request fit the definitions."""
    version = ticking.world.create("village", stage="production")
    ticking.published()
    ticking.world.delete(version)
    ticking.world.create("town", stage="production")
    requests = {str(request.job_name): request for request in ticking.tick()}

    by_name = ticking.definitions.resolve_job_def(keys.RECOMPUTE_JOB)
    assert dg.validate_run_config(by_name, requests[keys.RECOMPUTE_JOB].run_config)
    by_partition = ticking.definitions.resolve_job_def("publish__ramp")
    key = requests["publish__ramp"].partition_key
    assert by_partition.partitions_def is not None
    assert by_partition.partitions_def.has_partition_key(str(key), dynamic_partitions_store=ticking.instance)
    sensor = ticking.definitions.resolve_sensor_def(keys.STAGES_SENSOR)
    assert {target.job_name for target in sensor.targets} == {keys.RECOMPUTE_JOB, "publish__ramp"}


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (dg.DagsterRunStatus.NOT_STARTED, False),
        (dg.DagsterRunStatus.STARTED, False),
        (dg.DagsterRunStatus.FAILURE, True),
        (dg.DagsterRunStatus.CANCELED, True),
    ],
)
def test_a_family_is_asked_for_again_when_its_run_has_failed_not_while_it_goes_on(
    ticking: Ticking, status: dg.DagsterRunStatus, asked: bool
) -> None:
    ticking.world.create("town", stage="production")
    (first,) = ticking.tick()
    ticking.launch(first, status)
    again = ticking.tick()
    assert [request.run_key != first.run_key for request in again] == ([True] if asked else [])


def test_a_tick_that_finds_zenml_down_raises_and_keeps_the_cursor(ticking: Ticking) -> None:
    version = ticking.world.create("town", stage="production")
    ticking.published()
    ticking.world.delete(version)
    before = ticking.cursor
    ticking.world.broken = {"count"}
    with pytest.raises(ServiceError, match="did not answer"):
        ticking.tick()
    assert ticking.cursor == before
    ticking.world.broken = set()
    assert ticking.published() == [("recompute_family", None, "v1 deleted")]


class Zenml(World):
    """The catalog's index in memory over ZenML's real stages; ``client`` is a user's own client of ZenML."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._stages, self.client = Stages(settings), open_client(settings)
        self._versions = ModelVersions(settings)

    @property
    def stages(self) -> Any:
        return self._stages

    def train(self, name: str) -> UUID:
        version = self._versions.create(name)
        self._versions.log(version.uuid, FinetuneRequest(BASE, 1, "town", 1, name).to_metadata())
        return UUID(version.uuid)

    def publish(self, name: str) -> None:
        self.rows = {row.uuid: row for row in self._stages.family(name)}
        super().publish(name)

    def states(self) -> dict[str, str]:
        found = sorted(self.items.values(), key=lambda entry: entry.id)
        return {entry.id: "deprecated" if entry.deprecated else "active" for entry in found}


@pytest.fixture
def zenml(zenml_home: Path, settings: Settings, instance: dg.DagsterInstance, act_on: Callable[[Any], None]) -> Ticking:
    world = Zenml(settings.model_copy(update={"home": zenml_home}))
    act_on(world)
    ticking = Ticking(settings, instance, world)
    # What other tests left in this ZenML is none of these tests' business.
    while ticking.published() or StagesCursor.parse(ticking.cursor).resume:
        pass
    return ticking


def test_all_that_a_user_does_in_zenml_itself_reaches_the_catalog(zenml: Ticking) -> None:
    world, name = cast(Zenml, zenml.world), f"stages-{uuid4().hex[:8]}"
    client, partition, job = world.client, f"{name}-v".__add__, f"publish__{BASE}"
    first, second = world.train(name), world.train(name)

    def stage(version: UUID, stage: str) -> None:
        client.update_model_version(name, version, stage=stage, force=True)

    assert zenml.published() == []
    stage(first, "production")
    assert zenml.published() == [(job, partition("1"), "v1 production")]
    stage(second, "production")
    assert zenml.published() == [(job, partition("2"), "v2 production, v1 archived")]
    stage(first, "production")
    assert zenml.published() == [(job, partition("1"), "v1 production, v2 archived")]
    stage(first, "archived")
    assert zenml.published() == [(job, partition("1"), "v1 archived")]
    stage(second, "production")
    stage(second, "none")
    assert zenml.published() == []
    assert {id_: state for id_, state in world.states().items() if id_.startswith(name)} == {
        partition("1"): "deprecated",
        partition("2"): "deprecated",
    }
    client.delete_model_version(second)
    assert zenml.published() == [(keys.RECOMPUTE_JOB, None, "v2 deleted")]
    # The number is used again, and so the partition stays.
    stage(world.train(name), "production")
    assert zenml.published() == [(job, partition("2"), "v2 production")]
    client.delete_model(name)
    assert zenml.published() == [(keys.RECOMPUTE_JOB, None, "v1 deleted, v2 deleted")]
    assert zenml.published() == []
    assert [key for key in zenml.instance.get_dynamic_partitions(PARTITIONS) if key.startswith(name)] == []
    assert [id_ for id_ in world.states() if id_.startswith(name)] == []


def test_zenml_is_read_by_the_page_in_a_stable_order_from_any_thread(zenml: Ticking) -> None:
    world, name = cast(Zenml, zenml.world), f"paged-{uuid4().hex[:8]}"
    uuids = [str(world.train(name)) for _ in range(5)]
    stages = cast(Stages, world.stages)
    since = min(row.updated for row in stages.family(name))
    seen: list[str] = []

    def read() -> None:
        page = 1
        while not (found := stages.changed(since, page, 2)).last:
            seen.extend(row.uuid for row in found.rows)
            page += 1
        seen.extend(row.uuid for row in found.rows)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert [uuid for uuid in seen if uuid in uuids] == uuids
    assert stages.changed(since, 999, 2).last
    stranger = str(uuid4())
    assert stages.gone([*uuids, stranger]) == {stranger}
    assert [row.uuid for row in stages.versions([uuids[0], stranger])] == [uuids[0]]
    assert stages.base_models(uuids[:2]) == dict.fromkeys(uuids[:2], BASE)
    assert stages.family("never-made") == ()

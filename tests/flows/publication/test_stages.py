"""What the stage sensor decides, on fakes: ``tests/sensors/test_model_stages`` holds it against Dagster and ZenML."""

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fair_dagster.domain.errors import ServiceError
from fair_dagster.domain.publication.stage_changes import StagesCursor
from fair_dagster.flows.publication.stages import StageLimits, look
from fair_dagster.flows.services import Services
from tests.sensors.stages import World

MINUTE = timedelta(minutes=1)


@pytest.fixture
def world() -> World:
    return World()


def test_a_promotion_asks_for_one_run_as_its_partition_and_then_for_nothing(world: World) -> None:
    world.create("town")
    world.stage(world.create("town"), "production")

    (request,) = world.tick().requests
    assert (request.family, request.base_model, request.partition) == ("town", "ramp", "town-v2")
    assert request.cause == "v2 production"
    assert world.ticks(5) == []
    assert world.cursor.open == {}


def test_many_changed_versions_of_a_family_are_one_run(world: World) -> None:
    first, second = world.create("town", stage="production"), world.create("town")
    world.tick()
    world.stage(second, "production")
    world.create("town")

    (request,) = world.tick().requests
    assert request.cause == "v2 production, v1 archived"
    assert request.partition == "town-v2"
    assert world.items[first].deprecated


def test_archiving_and_demoting_take_the_partition_of_the_item(world: World) -> None:
    version = world.create("town", stage="production")
    world.tick()
    world.stage(version, "archived")
    (archived,) = world.tick().requests
    assert (archived.cause, archived.partition) == ("v1 archived", "town-v1")

    world.stage(version, "production")
    world.tick()
    world.stage(version, "none")
    (demoted,) = world.tick().requests
    assert (demoted.cause, demoted.partition) == ("v1 demoted", "town-v1")


def test_what_was_published_by_others_asks_for_nothing(world: World) -> None:
    world.stage(world.create("town"), "production")
    world.publish("town")
    assert world.ticks(3) == []


def test_promoted_and_demoted_between_two_ticks_is_not_in_the_catalog(world: World) -> None:
    version = world.create("town")
    world.tick()
    world.stage(version, "production")
    world.stage(version, "none")

    assert world.ticks(3) == []
    assert world.items == {}


def test_the_same_change_again_later_is_another_cause(world: World) -> None:
    version = world.create("town", stage="production")
    for stage in ("archived", "production", "archived", "production"):
        world.tick()
        world.stage(version, stage)  # type: ignore[arg-type]
    world.tick()
    assert len(world.keys) == 5
    assert len(set(world.keys)) == 5


def test_a_deleted_version_takes_its_item_and_then_its_partition_along(world: World) -> None:
    version, _ = world.create("town", stage="production"), world.create("town")
    world.tick()
    world.delete(version)

    found = world.tick()
    assert [(request.cause, request.partition) for request in found.requests] == [("v1 deleted", "")]
    assert found.partitions_gone == ()
    assert world.items == {}
    assert world.tick().partitions_gone == (("ramp", "town-v1"),)


def test_a_partition_goes_even_when_its_family_has_changed_again_meanwhile(world: World) -> None:
    version, other = world.create("town", stage="production"), world.create("town")
    world.tick()
    world.delete(version)
    world.tick()
    world.stage(other, "production")
    assert [request.cause for request in world.tick().requests] == ["v2 production"]
    assert world.tick().partitions_gone == (("ramp", "town-v1"),)


def test_a_deleted_model_takes_all_its_items_along(world: World) -> None:
    versions = [world.create("town") for _ in range(3)]
    for version in versions:
        world.stage(version, "production")
        world.tick()
    for version in versions:
        world.delete(version)

    (request,) = world.tick().requests
    assert request.cause == "v1 deleted, v2 deleted, v3 deleted"
    assert world.tick().partitions_gone == (("ramp", "town-v1"), ("ramp", "town-v2"), ("ramp", "town-v3"))


def test_a_number_that_is_used_again_keeps_its_partition(world: World) -> None:
    former = world.create("town", stage="production")
    world.tick()
    world.delete(former)
    latter = world.create("town", stage="production")

    (request,) = world.tick().requests
    assert (request.cause, request.partition) == ("v1 production, v1 deleted", "town-v1")
    assert [found.partitions_gone for found in (world.tick(), world.tick())] == [(), ()]
    assert set(world.items) == {latter}


def test_a_deletion_among_many_items_is_found_at_once(world: World) -> None:
    """The slice alone would need a hundred ticks: ZenML has fewer versions than before, and all are looked up."""
    versions = [world.create(f"town-{number}", stage="production") for number in range(100)]
    for number in range(100):
        world.publish(f"town-{number}")
    limits = StageLimits(slice=1)
    world.tick(limits)
    world.delete(versions[77])
    (request,) = world.tick(limits).requests
    assert request.cause == "v1 deleted"


def test_a_deletion_that_the_count_hides_is_found_by_the_slice(world: World) -> None:
    versions = [world.create(f"town-{number}", stage="production") for number in range(30)]
    for number in range(30):
        world.publish(f"town-{number}")
    limits = StageLimits(slice=5)
    world.tick(limits)
    world.delete(versions[17])
    # A late one, made on a machine whose clock is behind, makes up the number.
    world.made[world.create("late")] = world.clock - MINUTE
    assert len(world.ticks(6, limits)) == 1
    assert world.agrees


@pytest.mark.parametrize("method", ["changed", "in_production", "family", "count", "versions", "base_models"])
def test_zenml_down_fails_the_look_whole_and_nothing_is_deleted(world: World, method: str) -> None:
    version = world.create("town", stage="production")
    world.tick()
    world.delete(version)
    world.create("village", stage="production")
    before = world.cursor
    world.broken = {method}

    with pytest.raises(ServiceError):
        world.tick()
    assert world.cursor == before
    world.broken = set()
    world.tick()
    assert world.agrees


@pytest.mark.parametrize("agreeing", [True, False])
def test_an_empty_cursor_over_5000_versions_loses_none_and_asks_for_none_twice(world: World, agreeing: bool) -> None:
    for number in range(1250):
        name = f"town-{number}"
        for stage in ("archived", "archived", "none", "production"):
            world.create(name, stage=stage)  # type: ignore[arg-type]
        if agreeing:
            world.publish(name)
    requested: list[str] = []
    for _ in range(60):
        world.calls.clear()
        found = world.tick()
        requested += [request.family for request in found.requests]
        assert len(found.requests) <= 50
        assert len(world.calls) <= 120
        assert len(world.cursor.dump()) < 100_000
    assert sorted(requested) == ([] if agreeing else sorted({row.name for row in world.rows.values()}))
    assert world.agrees

    world.cursor = StagesCursor()
    assert world.ticks(10) == []


def test_more_rows_of_one_second_than_pages_are_all_read(world: World) -> None:
    """As a bulk change leaves them: progress by number of page, because the moment stays."""
    for number in range(95):
        world.clock -= timedelta(seconds=1)
        world.create(f"town-{number}", stage="production")
    # Of no use here: what is found is found by the changes.
    limits = StageLimits(pages=2, rows=10, slice=1)
    assert len(world.ticks(12, limits)) == 95


def test_a_clock_one_minute_behind_loses_nothing(world: World) -> None:
    versions = [world.create(f"town-{number}") for number in range(40)]
    world.clock += 10 * MINUTE
    world.create("newest")
    limits = StageLimits(slice=0)
    world.tick(limits)
    world.stage(versions[20], "production", behind=MINUTE)
    assert [request.family for request in world.tick(limits).requests] == ["town-20"]


def test_a_clock_that_was_years_ahead_does_not_hide_what_comes_after_it(world: World) -> None:
    version = world.create("town")
    world.clock += timedelta(days=3650)
    world.create("ahead")
    world.tick(StageLimits(slice=0))
    world.clock = datetime.now(UTC)
    world.stage(version, "production")
    assert [request.family for request in world.tick(StageLimits(slice=0)).requests] == ["town"]


def test_what_the_changes_have_missed_is_found_by_the_slices(world: World) -> None:
    """E.g. a row that slipped over the edge of a page, or a database that was restored."""
    versions = [world.create(f"town-{number}") for number in range(50)]
    world.clock += timedelta(days=1)
    world.create("newest")
    limits = StageLimits(slice=7)
    world.ticks(3, limits)
    world.stage(versions[5], "production", behind=timedelta(hours=6))
    assert len(world.ticks(3, limits)) == 1
    world.stage(versions[5], "archived", behind=timedelta(hours=6))
    assert len(world.ticks(3, limits)) == 1
    assert world.agrees


def test_a_failed_run_is_asked_for_again_at_growing_distances_with_keys_of_its_own(world: World) -> None:
    world.create("town", stage="production")
    asked = [bool(world.tick(StageLimits(longest_distance=8), publish=False).requests) for _ in range(32)]
    assert [tick for tick, request in enumerate(asked) if request] == [0, 1, 3, 7, 15, 23, 31]
    assert len(set(world.keys)) == 7


def test_a_cursor_that_was_reset_asks_with_keys_that_were_never_used(world: World) -> None:
    """Dagster starts no key twice: a reset that was to force another attempt got nothing for hours."""
    world.create("town", stage="production")
    world.ticks(20, publish=False)
    before = set(world.keys)
    world.cursor = StagesCursor()
    (request,) = world.tick(publish=False).requests
    assert request.key not in before


def test_the_keys_of_one_cursor_name_the_cause_and_the_attempt_only(world: World) -> None:
    world.create("town", stage="production")
    (first,) = world.tick(publish=False).requests
    before = world.cursor
    (second,) = world.tick(publish=False).requests
    world.cursor = before
    assert [request.key for request in world.tick(publish=False).requests] == [second.key]
    assert first.key != second.key


def in_production(world: World, count: int) -> list[str]:
    """``count`` published models."""
    uuids = [world.create(f"town-{number}", stage="production") for number in range(count)]
    world.ticks(3, StageLimits(families=count))
    assert len(world.items) == count
    return uuids


@pytest.mark.parametrize("limits", [StageLimits(), StageLimits(slice=2, sweep=2, families=1)])
@pytest.mark.parametrize("known_cursor", [True, False])
def test_a_zenml_that_has_none_of_the_versions_fails_the_look(
    world: World, limits: StageLimits, known_cursor: bool
) -> None:
    """An empty or foreign ZenML looks as if everything was deleted."""
    in_production(world, 5)
    rows, world.rows = world.rows, {}
    world.create("foreign", stage="production")
    before = world.cursor = world.cursor if known_cursor else StagesCursor()
    for _ in range(3):
        with pytest.raises(ServiceError, match=r"none of the 5 versions .* ZENML_STORE_URL .* reconcile --repair"):
            world.tick(limits)
    assert world.cursor == before
    assert len(world.items) == 5
    world.rows |= rows
    assert [request.family for request in world.ticks(5, limits)] == ["foreign"]


def test_all_versions_but_one_may_be_deleted(world: World) -> None:
    uuids = in_production(world, 5)
    for uuid in uuids[:4]:
        world.delete(uuid)
    assert len(world.ticks(2, StageLimits(slice=2))) == 4
    assert world.agrees


@pytest.mark.parametrize("count", [1, 3])
def test_a_catalog_of_few_items_may_lose_all(world: World, count: int) -> None:
    for uuid in in_production(world, count):
        world.delete(uuid)
    world.ticks(3)
    assert world.items == {}


def test_what_was_deleted_on_purpose_is_repaired_by_a_person_and_the_looks_go_on(world: World) -> None:
    for uuid in in_production(world, 5):
        world.delete(uuid)
    with pytest.raises(ServiceError, match="none of the 5"):
        world.tick()
    world.items = {}
    world.create("town", stage="production")
    assert [request.family for request in world.ticks(2)] == ["town"]


def test_nothing_is_asked_for_while_a_run_goes_on(world: World) -> None:
    world.create("town", stage="production")
    world.tick(publish=False)
    world.running = {"town"}
    assert world.ticks(10, publish=False) == []
    world.running = set()
    assert len(world.ticks(2)) == 1


def test_a_new_change_of_a_family_that_keeps_failing_does_not_wait(world: World) -> None:
    version = world.create("town", stage="production")
    world.ticks(20, publish=False)
    world.stage(version, "archived")
    world.publish("town")
    world.stage(version, "production")
    assert [request.cause for request in world.tick().requests] == ["v1 production"]


def test_a_model_of_others_on_the_same_server_is_left_alone(world: World) -> None:
    for number in range(300):
        world.create(f"churn-{number}", stage="production", foreign=True)
    assert world.ticks(5) == []
    assert world.cursor.open == {}


def test_a_version_made_by_hand_in_one_of_our_models_fails_a_run_that_says_so(world: World) -> None:
    ours = world.create("town", stage="production")
    world.tick()
    world.stage(world.create("town", foreign=True), "production")
    (request,) = world.tick(publish=False).requests
    assert request.cause == "v2 production, v1 archived"
    assert request.partition == ""
    assert ours in world.items


@pytest.mark.parametrize(
    "text", ["", "garbage", "[]", "null", "17", '{"format": 0}', '{"format": 1}', '{"format": 1, "open": 3}']
)
def test_a_cursor_that_cannot_be_read_is_an_empty_one(text: str) -> None:
    assert StagesCursor.parse(text) == StagesCursor()


def test_a_cursor_survives_being_written_down(world: World) -> None:
    version = world.create("town", stage="production")
    world.create("village", stage="production")
    world.tick()
    world.delete(version)
    for _ in range(3):
        world.create("hamlet", stage="production")
    found = look(cast(Services, world), world.cursor, ["ramp"], set, StageLimits(pages=1, rows=1))
    assert found.cursor.open
    assert found.cursor.resume
    assert found.cursor.counted
    assert StagesCursor.parse(found.cursor.dump()) == found.cursor


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["create", "production", "archived", "none", "delete", "tick", "fail", "forget"]),
        st.integers(0, 7),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(_STEPS)
def test_whatever_happens_the_catalog_follows_in_the_end(steps: list[tuple[str, int]]) -> None:
    world = World()
    limits = StageLimits(pages=1, rows=3, slice=2, families=2, longest_distance=4)

    def tick(*, publish: bool) -> None:
        try:
            world.tick(limits, publish=publish)
        except ServiceError:
            # All were deleted; somebody says that it was on purpose.
            assert len(world.items) > 3
            assert not world.items.keys() & world.rows.keys()
            for name in {entry.family for entry in world.items.values()}:
                world.publish(name)

    for action, choice in steps:
        uuids = sorted(world.rows, key=lambda uuid: world.made[uuid])
        if action == "create":
            world.create(f"town-{choice % 3}")
        elif action in {"tick", "fail"}:
            tick(publish=action == "tick")
        elif action == "forget":
            world.cursor = StagesCursor()
        elif uuids and action == "delete":
            world.delete(uuids[choice % len(uuids)])
        elif uuids:
            world.stage(uuids[choice % len(uuids)], action)  # type: ignore[arg-type]
    for _ in range(40):
        tick(publish=True)
    assert world.agrees
    assert world.cursor.open == {}

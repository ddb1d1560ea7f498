"""When a run that no worker names counts as lost."""

import pytest

from fair_dagster.orchestration.workers.presence import GRACE_SECONDS, MISSES, Presence

TASK = "task"


@pytest.fixture
def presence() -> Presence:
    return Presence()


def missed(presence: Presence, looks: int, now: float = 0.0) -> list[bool]:
    """Whether the task is lost after each of so many looks that miss it."""
    answers = []
    for _ in range(looks):
        presence.look(frozenset(), now)
        answers.append(presence.is_lost(TASK, now))
    return answers


def test_a_run_is_lost_when_three_looks_in_a_row_have_missed_it(presence: Presence) -> None:
    assert missed(presence, MISSES) == [False, False, True]


def test_a_look_counts_once_however_many_runs_are_asked_about(presence: Presence) -> None:
    presence.look(frozenset(), 0.0)
    assert not any(presence.is_lost(TASK, 0.0) for _ in range(2 * MISSES))


def test_a_worker_that_was_slow_to_answer_is_not_gone(presence: Presence) -> None:
    missed(presence, MISSES - 1)
    presence.look(frozenset({TASK}), 0.0)
    assert not presence.is_lost(TASK, 0.0)
    assert missed(presence, MISSES) == [False, False, True]


def test_a_run_that_has_just_begun_was_not_missed_before(presence: Presence) -> None:
    for _ in range(2 * MISSES):
        presence.look(frozenset({"another"}), 0.0)
    assert not presence.is_lost(TASK, 0.0)


def test_workers_get_time_to_connect_again_after_the_broker_was_away(presence: Presence) -> None:
    missed(presence, MISSES - 1)
    presence.away(0.0)
    assert not any(missed(presence, 2 * MISSES, GRACE_SECONDS - 1))
    assert missed(presence, MISSES, GRACE_SECONDS) == [False, False, True]

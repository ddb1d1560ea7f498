"""The thread beside a run: it interrupts when the run was stopped or counts as lost, and for nothing else."""

import threading
from collections.abc import Callable, Iterator

import pytest

from fair_dagster.orchestration.workers import watch

PATIENCE = 20


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(watch, "_AGAIN_SECONDS", 0.05)


def looks(*answers: bool | Exception) -> tuple[Callable[[], bool], threading.Event]:
    """What answers so, then True; the event is set once all answers were given."""
    remaining: Iterator[bool | Exception] = iter(answers)
    given = threading.Event()

    def look() -> bool:
        answer = next(remaining, None)
        if answer is None:
            given.set()
            return True
        if isinstance(answer, Exception):
            raise answer
        return answer

    return look, given


def interrupted(*answers: bool | Exception) -> bool:
    interrupt = threading.Event()
    look, given = looks(*answers)
    with watch.Watch("run", look, interrupt.set):
        assert given.wait(PATIENCE)
    return interrupt.is_set()


def test_a_run_that_was_stopped_is_interrupted() -> None:
    assert interrupted(True, False, False)


def test_a_run_that_goes_on_is_not_interrupted_and_one_in_its_last_moments_neither() -> None:
    assert not interrupted(True, True)
    assert not interrupted(False), "it has just ended by itself"


def test_a_database_that_is_away_does_not_cost_the_run() -> None:
    assert not interrupted(*[ConnectionError("the database is away")] * 4)


def test_an_interrupt_that_was_not_heeded_is_repeated() -> None:
    interrupt = threading.Semaphore(0)
    with watch.Watch("run", lambda: False, interrupt.release):
        assert interrupt.acquire(timeout=PATIENCE)
        assert interrupt.acquire(timeout=PATIENCE)

"""The thread beside a step: it renews the claim, and interrupts when the step is not wanted any more."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

redis = pytest.importorskip("redis", reason="the extra `team` is not installed")

from fair_dagster.orchestration.workers import watch  # noqa: E402
from fair_dagster.orchestration.workers.broker import LEASE_SECONDS, State, StepNotes  # noqa: E402
from tests.orchestration.workers.cluster import Redis  # noqa: E402

PATIENCE = 20


@pytest.fixture
def notes(broker: Redis, monkeypatch: pytest.MonkeyPatch) -> StepNotes:
    monkeypatch.setattr(watch, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(watch, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(watch, "_AGAIN_SECONDS", 0.1)
    return StepNotes(broker.url)


@pytest.fixture
def step(request: pytest.FixtureRequest) -> str:
    return f"fair-dagster:{request.node.name}"


def interrupted(notes: StepNotes, step: str, change: Callable[[], object], wanted: Callable[[], bool]) -> bool:
    """Whether a step of the worker ``me`` is interrupted after ``change``."""
    interrupt = threading.Event()
    notes.take(step, "me")
    with watch.Watch(notes, step, "me", wanted, interrupt.set):
        change()
        return interrupt.wait(PATIENCE)


def yes() -> bool:
    return True


def test_a_stopped_step_is_interrupted(notes: StepNotes, step: str) -> None:
    assert interrupted(notes, step, lambda: notes.stop(step), yes)


def test_a_step_whose_run_has_ended_is_interrupted(notes: StepNotes, step: str) -> None:
    assert interrupted(notes, step, lambda: None, lambda: False)


def test_a_step_that_another_worker_has_claimed_is_interrupted(notes: StepNotes, step: str, broker: Redis) -> None:
    def taken() -> None:
        broker.client.set(step, "running:another")

    assert interrupted(notes, step, taken, yes)


def test_a_claim_that_the_broker_forgot_is_renewed(
    notes: StepNotes, step: str, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt, renewed = threading.Event(), threading.Event()
    take = notes.take

    def taking(name: str, worker: str) -> object:
        note = take(name, worker)
        renewed.set()
        return note

    take(step, "me")
    monkeypatch.setattr(notes, "take", taking)
    with watch.Watch(notes, step, "me", yes, interrupt.set):
        broker.client.flushall()
        renewed.clear()
        assert renewed.wait(PATIENCE)
    assert notes.read(step).state is State.RUNNING
    assert 0 < int(broker.client.ttl(step)) <= LEASE_SECONDS
    assert not interrupt.is_set()


def test_neither_a_broker_nor_a_database_that_is_away_costs_the_step(
    notes: StepNotes, step: str, tmp_path: Path
) -> None:
    asked = threading.Semaphore(0)

    def away() -> bool:
        asked.release()
        raise ConnectionError("the database is away")

    gone = StepNotes("redis://127.0.0.1:1/0")
    interrupt = threading.Event()
    with watch.Watch(gone, step, "me", away, interrupt.set):
        for _ in range(3):
            assert asked.acquire(timeout=PATIENCE)
    assert not interrupt.is_set()


def test_one_worker_has_a_step_and_an_ended_one_nobody(notes: StepNotes, step: str) -> None:
    notes.queued(step)
    assert notes.read(step).state is State.QUEUED
    assert notes.take(step, "one").detail == "one"
    assert notes.take(step, "one").detail == "one"
    assert notes.claims(step) == 1, "a renewal is none"
    assert notes.take(step, "another").detail != "another"
    notes.queued(step)
    assert notes.read(step).state is State.RUNNING, "a worker has been faster than the note"
    notes.done(step)
    assert notes.take(step, "another").state is State.DONE
    notes.failed(step, "no job has that name")
    assert notes.read(step).detail == "no job has that name"

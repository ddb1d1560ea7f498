"""What is made of a step's note and of Dagster's log: waiting, handing out again, giving up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import dagster as dg
import pytest

redis = pytest.importorskip("redis", reason="the extra `team` is not installed")
pytest.importorskip("celery", reason="the extra `team` is not installed")

from celery.exceptions import TaskRevokedError  # noqa: E402

from fair_dagster.domain.errors import PipelineError, ServiceError  # noqa: E402
from fair_dagster.orchestration.workers import remote_step  # noqa: E402
from fair_dagster.orchestration.workers.broker import Note, State, StepNotes  # noqa: E402
from fair_dagster.orchestration.workers.remote_step import Move, RemoteStep, decide  # noqa: E402
from fair_dagster.orchestration.workers.step_log import StepLog  # noqa: E402

URL = "redis://user:s3cret@broker.example/0"


@dataclass
class Place:
    """Everything around a step, as a test sets it."""

    state: State = State.GONE
    detail: str = ""
    now: float = 0.0
    begun: int = 0
    claimed: int = 0
    has_ended: bool = False
    error: Exception | None = None
    sent: int = 0
    stopped: bool = False
    told: list[str] = field(default_factory=list)
    outcome: Sequence[dg.DagsterEvent] = ()

    def read(self, _step: str) -> Note:
        if self.error is not None:
            raise self.error
        return Note(self.state, self.detail)

    def claims(self, _step: str) -> int:
        return self.claimed

    def queued(self, _step: str) -> None:
        self.state = State.QUEUED

    def stop(self, _step: str) -> None:
        self.stopped = True

    def send(self) -> None:
        self.sent += 1

    def after(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def step(place: Place) -> RemoteStep:
    return made(place)


def made(place: Place) -> RemoteStep:
    return RemoteStep(
        "step",
        send=place.send,
        notes=cast(StepNotes, place),
        log=lambda: cast(StepLog, place),
        tell=place.told.append,
        broker=URL,
        queue="dagster",
        clock=lambda: place.now,
    )


@pytest.mark.parametrize(
    ("state", "gone_for", "move"),
    [
        (State.QUEUED, 0.0, Move.WAIT),
        (State.RUNNING, 0.0, Move.WAIT),
        (State.DONE, 0.0, Move.LOOK),
        (State.FAILED, 0.0, Move.FAIL),
        (State.GONE, remote_step.GRACE_SECONDS - 1, Move.WAIT),
        (State.GONE, remote_step.GRACE_SECONDS, Move.LOOK),
    ],
)
def test_a_note_says_what_is_to_be_done(state: State, gone_for: float, move: Move) -> None:
    assert decide(Note(state), gone_for) is move


def test_a_step_is_handed_out_once_and_ready_when_dagsters_log_says_so(place: Place, step: RemoteStep) -> None:
    assert (place.sent, place.state) == (1, State.QUEUED)
    place.state = State.RUNNING
    assert not step.ready()
    place.state, place.has_ended = State.DONE, True
    assert step.ready()
    assert step.get() == []
    assert place.sent == 1


def lose(place: Place, step: RemoteStep) -> None:
    place.state = State.RUNNING
    assert not step.ready()
    place.begun += 1
    place.state = State.GONE
    step.ready()
    place.after(remote_step.GRACE_SECONDS)
    step.ready()


def test_a_step_whose_worker_died_is_handed_out_again_and_at_the_third_death_given_up(
    place: Place, step: RemoteStep
) -> None:
    lose(place, step)
    assert (place.sent, place.told) == (2, ["Handed out again: the worker that had begun it is gone."])
    lose(place, step)
    assert place.sent == 3
    lose(place, step)
    assert (place.sent, step.ready()) == (3, True)
    with pytest.raises(PipelineError, match="begun 3 times, and each time its worker died"):
        step.get()


def test_a_worker_that_dies_before_the_step_begins_counts_as_well(place: Place, step: RemoteStep) -> None:
    place.state, place.claimed = State.GONE, remote_step.EXECUTIONS
    step.ready()
    place.after(remote_step.GRACE_SECONDS)
    assert step.ready()
    with pytest.raises(PipelineError, match="begun 3 times"):
        step.get()


def test_a_step_that_the_broker_forgot_is_handed_out_as_often_as_needed(place: Place, step: RemoteStep) -> None:
    for times in range(2, 7):
        place.state = State.GONE
        assert not step.ready()
        place.after(remote_step.GRACE_SECONDS)
        assert not step.ready()
        assert place.sent == times


def test_a_step_that_ended_while_its_note_was_lost_is_not_executed_again(place: Place, step: RemoteStep) -> None:
    place.state, place.has_ended, place.begun = State.GONE, True, 1
    step.ready()
    place.after(remote_step.GRACE_SECONDS)
    assert step.ready()
    assert place.sent == 1


def test_the_time_of_an_outage_is_no_time_in_which_a_worker_was_silent(place: Place, step: RemoteStep) -> None:
    place.state = State.GONE
    step.ready()
    place.error = redis.ConnectionError("down")
    place.after(remote_step.GRACE_SECONDS)
    step.ready()
    place.error = None
    step.ready()
    assert place.sent == 1, "its worker has not had time to renew its claim"
    place.state = State.RUNNING
    place.after(remote_step.GRACE_SECONDS)
    assert not step.ready()


def test_a_broker_that_is_away_is_told_of_once_and_waited_for_so_long(place: Place, step: RemoteStep) -> None:
    place.error = redis.ConnectionError("down")
    for _ in range(5):
        assert not step.ready()
    assert place.told == ["The broker redis://broker.example:6379/0 does not answer; waiting for it."]
    place.after(remote_step.OUTAGE_SECONDS)
    assert step.ready()
    with pytest.raises(ServiceError, match="has not answered for 10 minutes") as failed:
        step.get()
    assert "s3cret" not in str(failed.value)


def test_a_step_is_handed_out_when_the_broker_is_back(place: Place) -> None:
    place.error = redis.ConnectionError("down")
    step = made(place)
    assert place.sent == 0
    place.error = None
    assert not step.ready()
    assert (place.sent, place.state) == (1, State.QUEUED)


def test_a_step_that_nobody_takes_asks_for_workers_once(place: Place, step: RemoteStep) -> None:
    for _ in range(4):
        place.after(remote_step.UNTAKEN_SECONDS)
        assert not step.ready()
    assert len(place.told) == 1
    assert "No worker has taken the step from queue 'dagster' yet" in place.told[0]


def test_a_worker_that_cannot_execute_it_says_why(place: Place, step: RemoteStep) -> None:
    place.state, place.detail = State.FAILED, "on gpu-1: no job has that name"
    assert step.ready()
    with pytest.raises(PipelineError, match="on gpu-1: no job has that name"):
        step.get()
    assert isinstance(step.error, PipelineError)


def test_a_stopped_step_that_was_not_begun_is_over_and_one_at_work_is_waited_for(place: Place) -> None:
    waiting, working = made(place), made(place)
    waiting.revoke()
    place.state = State.QUEUED
    assert waiting.ready()
    with pytest.raises(TaskRevokedError):
        waiting.get()
    place.state = State.RUNNING
    working.revoke()
    assert not working.ready()
    assert place.stopped
    place.state, place.has_ended = State.DONE, True
    assert working.ready()


@dg.op
def works() -> int:
    return 1


@dg.op(retry_policy=dg.RetryPolicy(max_retries=1))
def fails_once(context: dg.OpExecutionContext) -> None:
    if context.retry_number == 0:
        raise ValueError("once")


def ran(instance: dg.DagsterInstance, *ops: Callable[..., Any]) -> str:
    @dg.job
    def job() -> None:
        for op in ops:
            op()

    return job.execute_in_process(instance=instance).run_id


def test_the_log_tells_each_attempt_of_a_step_apart() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run_id = ran(instance, works, fails_once)
        first, second = (StepLog(instance, run_id, "fails_once", retries) for retries in (0, 1))
        assert (second.begun, second.has_ended) == (1, True)
        assert second.outcome[-1].event_type is dg.DagsterEventType.STEP_SUCCESS
        assert (first.begun, first.has_ended) == (1, True)
        assert first.outcome[-1].event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY
        none = StepLog(instance, run_id, "elsewhere")
        assert (none.begun, none.has_ended, list(none.outcome)) == (0, False, [])


def test_of_executions_that_were_cut_off_only_the_last_counts() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run_id = ran(instance, works)
        events = [entry.dagster_event for entry in instance.all_logs(run_id) if entry.dagster_event]
        begun = [event for event in events if event.event_type is dg.DagsterEventType.STEP_START]
        outputs = [event for event in events if event.event_type is dg.DagsterEventType.STEP_OUTPUT]
        ended = [event for event in events if event.event_type is dg.DagsterEventType.STEP_SUCCESS]
        for event in (*begun, *outputs):
            instance.report_dagster_event(event, run_id)
        log = StepLog(instance, run_id, "works")
        assert (log.begun, log.has_ended) == (2, False)
        instance.report_dagster_event(ended[0], run_id)
        log = StepLog(instance, run_id, "works")
        assert log.has_ended
        assert [event.event_type for event in log.outcome] == [
            dg.DagsterEventType.STEP_START,
            dg.DagsterEventType.STEP_OUTPUT,
            dg.DagsterEventType.STEP_SUCCESS,
        ]

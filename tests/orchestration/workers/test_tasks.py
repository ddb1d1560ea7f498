"""What a worker asks before it executes a step, and what it notes of its end."""

import contextlib
from collections.abc import Iterator

import dagster as dg
import pytest

redis = pytest.importorskip("redis", reason="the extra `team` is not installed")
pytest.importorskip("celery", reason="the extra `team` is not installed")

from dagster._core.code_pointer import ModuleCodePointer  # noqa: E402
from dagster._core.execution.retries import RetryMode  # noqa: E402
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin  # noqa: E402
from dagster._grpc.types import ExecuteStepArgs  # noqa: E402

from fair_dagster.domain.errors import RefusedError  # noqa: E402
from fair_dagster.orchestration.workers.broker import Note, State, StepNotes  # noqa: E402
from fair_dagster.orchestration.workers.tasks import is_due, noted  # noqa: E402
from tests.orchestration.workers.cluster import Redis  # noqa: E402

STEP = "publish"


@dg.op
def publish() -> None:
    pass


@dg.job
def publication() -> None:
    publish()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def step_of_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> ExecuteStepArgs:
    run = instance.create_run_for_job(publication, status=status)
    pointer = ModuleCodePointer(__name__, "publication", None)
    origin = JobPythonOrigin("publication", RepositoryPythonOrigin("python", pointer, None, [], {}))
    return ExecuteStepArgs(origin, run.run_id, [STEP], None, RetryMode.ENABLED, None, None)


@pytest.mark.parametrize(
    ("status", "due"), [(dg.DagsterRunStatus.STARTED, True), (dg.DagsterRunStatus.CANCELING, False)]
)
def test_a_step_is_due_while_its_run_goes_on(
    broker: Redis, instance: dg.DagsterInstance, status: dg.DagsterRunStatus, due: bool
) -> None:
    arguments = step_of_run(instance, status)
    assert is_due(StepNotes(broker.url), instance, arguments, f"{arguments.run_id}:{STEP}") is due


def test_a_stopped_step_is_not_due(broker: Redis, instance: dg.DagsterInstance) -> None:
    arguments, notes = step_of_run(instance, dg.DagsterRunStatus.STARTED), StepNotes(broker.url)
    notes.stop(f"{arguments.run_id}:{STEP}")
    assert not is_due(notes, instance, arguments, f"{arguments.run_id}:{STEP}")


def test_a_broker_that_restarts_while_a_step_begins_does_not_cost_it(instance: dg.DagsterInstance) -> None:
    """It failed then, and the run waited until its claim had run out."""
    arguments = step_of_run(instance, dg.DagsterRunStatus.STARTED)
    assert is_due(StepNotes("redis://127.0.0.1:1/0"), instance, arguments, STEP)


@pytest.mark.parametrize(
    ("error", "claimed_by", "expected"),
    [
        (None, "me", Note(State.DONE)),
        (KeyboardInterrupt(), "me", Note(State.DONE)),
        (KeyboardInterrupt(), "another", Note(State.RUNNING)),
        (RefusedError("x", ["no such folder"]), "me", Note(State.FAILED, "no such folder")),
    ],
)
def test_a_stopped_step_is_over_at_once(
    broker: Redis, error: BaseException | None, claimed_by: str, expected: Note
) -> None:
    """Its run waited until the claim had run out, for 30 s, and was killed by then."""
    notes, step = StepNotes(broker.url), f"{error!r}:{claimed_by}"
    assert notes.take(step, claimed_by).detail == claimed_by
    with contextlib.suppress(type(error or ValueError())), noted(notes, step, "me"):
        if error is not None:
            raise error
    found = notes.read(step)
    assert found.state is expected.state
    assert expected.detail in found.detail

"""The Dagster executor that hands each step of a run to the Celery workers, by dagster-celery's own loop.

The run's process waits for its steps. When a worker dies with a step, or Redis forgets one, the step is handed out
again; what has ended by Dagster's log has ended, whoever executed it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

# A Celery executor is made of these; they are exported nowhere.
from dagster._core.definitions.executor_definition import multiple_process_executor_requirements
from dagster._core.errors import DagsterSubprocessError
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.plan.state import KnownExecutionState
from dagster._core.execution.plan.step import ExecutionStep
from dagster._core.execution.retries import RetryMode, get_retries_config
from dagster._core.executor.base import Executor
from dagster._core.executor.init import InitExecutorContext
from dagster._grpc.types import ExecuteStepArgs
from dagster._serdes import pack_value
from dagster_celery.config import DEFAULT_CONFIG, TASK_EXECUTE_PLAN_NAME, dict_wrapper
from dagster_celery.core_execution_loop import core_celery_execution_loop

from fair_dagster.orchestration.runs.process_tags import note_process
from fair_dagster.orchestration.workers.app import HIGHEST_PRIORITY, celery_app
from fair_dagster.orchestration.workers.broker import StepNotes, require_broker, step_name
from fair_dagster.orchestration.workers.remote_step import RemoteStep
from fair_dagster.orchestration.workers.step_log import StepLog
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from celery import Celery


@dg.executor(
    name="celery",
    # The broker's URL may hold a password, and the configuration of a run is shown to everybody.
    config_schema={"retries": get_retries_config()},
    requirements=multiple_process_executor_requirements(),
)
def celery_steps(context: InitExecutorContext) -> Executor:
    """Steps are executed by the workers of the broker that ``FAIR_BROKER_URL`` names."""
    retries: Any = context.executor_config["retries"]
    return CelerySteps(require_broker(Settings()), RetryMode.from_config(retries) or RetryMode.ENABLED)


class CelerySteps(Executor):
    """What dagster-celery's loop needs of an executor, and how a step is handed out."""

    def __init__(self, url: str, retries: RetryMode) -> None:
        self._url = url
        self._retries = retries

    @property
    def retries(self) -> RetryMode:
        return self._retries

    def app_args(self) -> dict[str, Any]:
        """For the loop, which asks its application for defaults of queue and priority; steps are sent by ours."""
        return {"broker": self._url, "config_source": dict_wrapper(dict(DEFAULT_CONFIG))}

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        # Before a worker does: its process is not the one that the run lives and dies with.
        note_process(plan_context.instance, plan_context.dagster_run)
        desk = _Desk(self._url)
        try:
            yield from core_celery_execution_loop(plan_context, execution_plan, step_execution_fn=desk.hand_out)
        except DagsterSubprocessError:
            # Its text is that of all errors with their stack traces; the first says what there is to do.
            desk.raise_first()
            raise


class _Desk:
    """Hands the steps of one run to the broker at ``url``."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._app = celery_app(url)
        self._notes = StepNotes(url)
        self._steps: list[RemoteStep] = []

    def raise_first(self) -> None:
        """Raise why the first step could not be executed, when there is one."""
        for step in self._steps:
            if step.error is not None:
                raise step.error from None

    def hand_out(
        self,
        _app: "Celery",
        context: PlanOrchestrationContext,
        step: ExecutionStep,
        queue: str,
        priority: int,
        known_state: KnownExecutionState,
    ) -> RemoteStep:
        message = _message(context, step, known_state)
        retries = known_state.get_retry_state().get_attempt_count(step.key)
        instance, run = context.instance, context.dagster_run

        def send() -> None:
            # Redis serves the lowest number first; in Dagster the highest goes first.
            urgency = HIGHEST_PRIORITY - min(max(priority, 0), HIGHEST_PRIORITY)
            self._app.send_task(TASK_EXECUTE_PLAN_NAME, kwargs=message, queue=queue, priority=urgency)

        handed = RemoteStep(
            step_name(run.run_id, step.key, retries),
            send=send,
            notes=self._notes,
            log=lambda: StepLog(instance, run.run_id, step.key, retries),
            tell=lambda text: instance.report_engine_event(text, run, cls=CelerySteps, step_key=step.key),
            broker=self._url,
            queue=queue,
        )
        self._steps.append(handed)
        return handed


def _message(
    context: PlanOrchestrationContext, step: ExecutionStep, known_state: KnownExecutionState
) -> dict[str, Any]:
    """The arguments of dagster-celery's task."""
    job = context.reconstructable_job
    arguments = ExecuteStepArgs(
        job_origin=job.get_python_origin(),
        run_id=context.dagster_run.run_id,
        step_keys_to_execute=[step.key],
        retry_mode=context.executor.retries.for_inner_plan(),
        known_state=known_state,
        print_serialized_events=True,
    )
    return {"execute_step_args_packed": pack_value(arguments), "executable_dict": job.to_dict()}

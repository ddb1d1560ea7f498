"""ZenML's experiment tracker of a training on this machine: always the local MLflow of this home.

With a server that is away ZenML fails the step, and with it a finished training. So the component names a database
file, and what it holds is copied afterwards. Runner process only. Stacks that run steps on other machines keep the
component that they have.

See docs/decisions/0047.
"""

import functools
import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fair_dagster.pipelines.inputs import HERE
from fair_dagster.pipelines.tracking.mlflow_runs import MlflowRuns, local_uri
from fair_dagster.pipelines.tracking.trainings import TrackedTraining
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from zenml.client import Client
    from zenml.models import StackResponse

_ACTIVE_STACK = "ZENML_ACTIVE_STACK_ID"


def track_steps(
    settings: Settings, client: "Client", training: TrackedTraining, config: Mapping[str, Any], module: Iterable[Any]
) -> dict[str, Any]:
    """Let ZenML track the steps of a pipeline in this process; returns options for ``Pipeline.with_options``.

    Args:
        config: the run configuration, which may name a tracker for steps.
        module: what the pipeline's module holds; every step in it is tracked, so that nothing that one logs by MLflow
            itself gets lost.
    """
    from zenml.enums import StackComponentType
    from zenml.steps import BaseStep

    stack = client.active_stack_model
    flavors = {row.flavor_name for row in stack.components.get(StackComponentType.EXPERIMENT_TRACKER, ())}
    named = [step for step, options in (config.get("steps") or {}).items() if options.get("experiment_tracker")]
    options: dict[str, Any] = {
        "settings": {"experiment_tracker.mlflow": {"experiment_name": training.experiment, "tags": training.all_tags}}
    }
    if stack.components[StackComponentType.ORCHESTRATOR][0].flavor_name != HERE:
        return options if named and "mlflow" in flavors else {}
    MlflowRuns(local_uri(settings), settings).experiment(training.experiment)
    component = _use_component(client, stack, local_uri(settings))
    for step in module:
        if isinstance(step, BaseStep):
            step.configure(experiment_tracker=component)
    _join_runs()
    _keep_autologging()
    return {**options, "steps": {step: {"experiment_tracker": component} for step in named}}


def _use_component(client: "Client", stack: "StackResponse", uri: str) -> str:
    """Put the component for ``uri`` on a stack like ``stack``, which this process uses from now on.

    A stack of its own, since ZenML's default one cannot be changed, and other processes need not load MLflow. The
    name is that of the file: machines of a team share ZenML's server, and each has a home of its own.
    """
    from zenml.enums import StackComponentType

    kind = StackComponentType.EXPERIMENT_TRACKER
    name = f"fair-tracking-{hashlib.sha256(uri.encode()).hexdigest()[:8]}"
    found = client.list_stack_components(type=kind, name=f"equals:{name}", size=1).items
    component = found[0] if found else client.create_stack_component(name, "mlflow", kind, {"tracking_uri": uri})
    wanted = {kind: [row.id for row in rows] for kind, rows in stack.components.items()} | {kind: [component.id]}
    tracked = f"{stack.name}-{name}"
    stacks = client.list_stacks(name=f"equals:{tracked}", size=1, hydrate=True).items
    if not stacks:
        ready = client.create_stack(tracked, wanted)
    elif {one: [row.id for row in rows] for one, rows in stacks[0].components.items()} != wanted:
        gone: dict[Any, Any] = {one: [] for one in stacks[0].components.keys() - wanted.keys()}
        ready = client.update_stack(stacks[0].id, component_updates=gone | wanted)
    else:
        ready = stacks[0]
    os.environ[_ACTIVE_STACK] = str(ready.id)
    return name


def _join_runs() -> None:
    """Let ``mlflow.start_run()`` of a pipeline join the run that ZenML has begun; MLflow raises an error otherwise."""
    import mlflow

    begin = mlflow.start_run

    class Joined(mlflow.ActiveRun):  # type: ignore[misc, name-defined, unused-ignore]
        def __exit__(self, kind: Any, *_: object) -> bool:
            """Leave the run open: it is ZenML's to end."""
            return kind is None

    @functools.wraps(begin)
    def start_run(*args: Any, **options: Any) -> Any:
        active = mlflow.active_run()
        joins = active is not None and not args and not options.get("run_id") and not options.get("nested")
        return Joined(active) if joins else begin(*args, **options)  # type: ignore[no-untyped-call]

    mlflow.start_run = start_run


def _keep_autologging() -> None:
    """Let a step turn on what the one before it has left: libraries turned off by name stay so."""
    import mlflow
    from zenml.integrations.mlflow.experiment_trackers import MLFlowExperimentTracker

    MLFlowExperimentTracker.disable_autologging = lambda _: mlflow.autolog(disable=True, silent=True)

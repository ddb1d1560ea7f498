"""One finetune: a generated run configuration, executed by ZenML in this process. Runner process only.

The configuration is handed to ZenML as it is. Only the run's name gets a suffix, by which the run is found
again after a failure or an interruption, when ZenML returns nothing.
"""

import contextlib
import logging
import math
import os
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fair_dagster.domain.errors import FairError, PipelineError
from fair_dagster.domain.requests import RUN_KEY
from fair_dagster.domain.versions import (
    MODEL_ARTIFACTS,
    ONNX_ARTIFACT,
    PREFIX,
    VersionRecord,
    read_training,
)
from fair_dagster.pipelines.entrypoints import load_entrypoint
from fair_dagster.pipelines.inputs import HERE, require_reachable, step_environment
from fair_dagster.pipelines.metadata import RUN_VARIABLE, TRACKING_VARIABLE
from fair_dagster.pipelines.prediction import read_mapping
from fair_dagster.pipelines.tracking.trainings import TrackedTraining
from fair_dagster.pipelines.zenml.client import open_client, outlast
from fair_dagster.pipelines.zenml.model_versions import ModelVersions
from fair_dagster.pipelines.zenml.run_records import RunRecord, describe_error, first_cause, logged_cause
from fair_dagster.pipelines.zenml.runs import Runs
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from zenml.client import Client

_FOLLOW_SECONDS = 5.0


@dataclass(frozen=True)
class TrainingResult:
    """What a training came to; written as JSON for whoever started the runner.

    Attributes:
        status: ``completed``, ``failed`` or ``stopped``.
        steps: ``name``, ``status`` and ``seconds`` of each step, in order.
        error: why it did not complete: exception type, message, last lines of the step's traceback.
        step: the step that failed.
    """

    status: str
    run_id: str | None = None
    run_name: str | None = None
    seconds: float | None = None
    model: str | None = None
    version: int | None = None
    version_uuid: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=dict)
    loss_history: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    wall_seconds: float | None = None
    artifacts: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Mapping[str, Any], ...] = ()
    error: str | None = None
    step: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As JSON; a number that JSON cannot hold (a diverged loss) becomes null."""
        return {name: _jsonable(value) for name, value in asdict(self).items()}


class Training:
    """A training that can be asked for its result at any time, also after a signal has ended it."""

    def __init__(self, settings: Settings, config: Path, entrypoint: str, addresses: Path | None = None) -> None:
        """``addresses`` is the configuration before its inputs were fetched, for steps that run on other machines."""
        self._settings = settings
        self._config = config
        self._addresses = addresses or config
        self._entrypoint = entrypoint
        self._suffix = uuid.uuid4().hex[:8]
        self._runs = Runs(settings)
        self._versions = ModelVersions(settings)

    def run(self) -> TrainingResult:
        """Run the pipeline to its end.

        Raises:
            RefusedError: the configuration or the entrypoint is not acceptable; ZenML knows nothing of it.
        """
        request = read_mapping(self._config)
        pipeline = self.find_pipeline()
        template = f"{request.get('run_name') or f'{pipeline.name}-{{date}}-{{time}}'}-{self._suffix}"
        client = open_client(self._settings)
        # ZenML runs the pipeline over the same store.
        outlast(client.zen_store)
        options: dict[str, Any] = {"config_path": str(self._config)}
        if client.active_stack.orchestrator.flavor != HERE:
            addressed = read_mapping(self._addresses)
            require_reachable(addressed, client.active_stack.name)
            environment = step_environment(self._settings, addressed)
            options = {"config_path": str(self._addresses), "environment": environment}
        options |= self._track(client, request, pipeline)
        try:
            pipeline.with_options(**options, run_name=template)()
        except Exception as error:
            return self._failed(error)
        return self.read_completed()

    def _track(self, client: "Client", request: Mapping[str, Any], pipeline: Any) -> dict[str, Any]:
        """Options by which ZenML tracks the training. One that cannot be tracked is trained all the same."""
        training = TrackedTraining.read(Path(os.environ.get(TRACKING_VARIABLE) or os.devnull))
        if training is None:
            return {}
        from fair_dagster.pipelines.tracking.component import track_steps

        module = vars(sys.modules[pipeline.entrypoint.__module__]).values()
        try:
            return track_steps(self._settings, client, training, request, module)
        except Exception as error:
            # Whatever ails the tracker: a full disk, a database of a newer MLflow.
            logging.getLogger(__name__).warning("this training is not tracked while it goes on: %s", error)
            return {}

    def announce_stop(self, reason: str) -> None:
        """To be called when a signal arrives, before it unwinds the step that runs."""
        if "zenml" in sys.modules:
            run = self._runs.find(self._suffix)
            if run is not None:
                self._runs.mark_stopping(run.id, reason)

    def interrupted(self, reason: str) -> TrainingResult:
        """The result after a signal: the ZenML run, if there is one yet, is marked as stopped."""
        # Without ZenML in the process there can be no run, and loading it now would only delay the end.
        run = self._runs.find(self._suffix) if "zenml" in sys.modules else None
        if run is None:
            return TrainingResult(status="stopped", error=reason)
        run = self._runs.mark_stopped(run.id, reason)
        return self._result(run, status="stopped", error=reason)

    def find_pipeline(self) -> Any:
        pipeline = load_entrypoint(self._entrypoint, self._settings.entrypoint_roots)
        from zenml.pipelines.pipeline_definition import Pipeline

        if not isinstance(pipeline, Pipeline):
            raise PipelineError(f"{self._entrypoint} is no ZenML pipeline: decorate it with @pipeline")
        return pipeline

    def _followed(self) -> RunRecord | None:
        """The run at its end. An orchestrator of another machine may return as soon as it was given the run."""
        run = self._runs.find(self._suffix)
        if open_client(self._settings).active_stack.orchestrator.flavor == HERE:
            return run
        while run is not None and not run.finished:
            time.sleep(_FOLLOW_SECONDS)
            run = self._runs.show(run.id)
        return run

    def read_completed(self) -> TrainingResult:
        run = self._followed()
        if run is None:
            return TrainingResult(status="failed", error="ZenML knows no run of this pipeline")
        result = self._result(run, status="completed" if run.successful else "failed")
        problems = [] if run.successful else [f"the run ended as {run.status}"]
        if not any(name in result.artifacts for name in MODEL_ARTIFACTS):
            problems.append(f"it left no artifact {MODEL_ARTIFACTS[0]!r}")
        if ONNX_ARTIFACT not in result.artifacts:
            problems.append(f"it left no artifact {ONNX_ARTIFACT!r}")
        if result.version is not None and problems:
            return self._result(run, status="failed", error=f"the pipeline ran, but {'; '.join(problems)}")
        return result

    def _failed(self, error: Exception) -> TrainingResult:
        run = self._runs.find(self._suffix)
        if run is None:
            return TrainingResult(status="failed", error=describe_error(error))
        cause = first_cause(run.steps) or self._logged_cause(run)
        if not run.finished:
            run = self._runs.mark_stopped(run.id, "the pipeline ended with an error")
        step, description = cause if cause is not None else (None, describe_error(error))
        return self._result(run, status="failed", error=description, step=step)

    def _logged_cause(self, run: RunRecord) -> tuple[str | None, str] | None:
        """What the log says where no step kept an exception; nothing when a log cannot be read either."""
        with contextlib.suppress(FairError, OSError):
            return logged_cause(self._runs.logs(run.id))
        return None

    def _result(
        self, run: RunRecord, *, status: str, error: str | None = None, step: str | None = None
    ) -> TrainingResult:
        on_steps = self._runs.step_metadata(run.id)
        version = self._version(run)
        if version is not None:
            version = self._lift(version, on_steps)
        training = read_training(version.metadata if version else on_steps)
        return TrainingResult(
            status=status,
            run_id=run.id,
            run_name=run.name,
            seconds=run.seconds,
            model=version.name if version else None,
            version=version.number if version else None,
            version_uuid=version.uuid if version else None,
            metrics=training.metrics,
            split=training.split,
            loss_history=training.loss_history,
            wall_seconds=training.wall_seconds,
            artifacts=version.artifacts if version else {},
            steps=tuple({"name": s.name, "status": s.status, "seconds": s.seconds} for s in run.steps),
            error=error,
            step=step,
        )

    def _version(self, run: RunRecord) -> VersionRecord | None:
        if run.model is None or run.version is None:
            return None
        return self._versions.get(run.model, run.version)

    def _lift(self, version: VersionRecord, on_steps: Mapping[str, Any]) -> VersionRecord:
        """Copy to the version what steps logged on themselves only, as contributors do with the split.

        The Dagster run that trained it is noted as well.
        """
        missing = {
            key: value for key, value in on_steps.items() if key.startswith(PREFIX) and key not in version.metadata
        }
        run = os.environ.get(RUN_VARIABLE)
        if run and version.metadata.get(RUN_KEY) != run:
            missing[RUN_KEY] = run
        if not missing:
            return version
        self._versions.log(version.uuid, missing)
        return self._versions.get(version.name, version.number)


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""The process that runs one pipeline or one prediction: ``python -m fair_dagster.pipelines.runner``.

The only place that imports code of a model folder. Started by an asset or a command, told what to do by
files, answers by a result file (and through Dagster Pipes when started with it). Exit codes: 0 done, 1 failed
with the cause as last lines, 2 usage, 130 and 143 ended by SIGINT and SIGTERM.
"""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from fair_dagster.domain.errors import FairError
from fair_dagster.domain.versions import ONNX_ARTIFACT
from fair_dagster.net.files import write_json
from fair_dagster.net.processes import collect_rarely, end_with_parent, leave
from fair_dagster.pipelines.compat import install_fair_package
from fair_dagster.pipelines.compat.absent_zenml import allow_absent_zenml
from fair_dagster.pipelines.entrypoints import offer_models
from fair_dagster.pipelines.metadata import TRACKING_VARIABLE, tell_tracking
from fair_dagster.pipelines.zenml.environment import prepare
from fair_dagster.pipelines.zenml.run_records import describe_error
from fair_dagster.settings import Settings

PIPES_VARIABLE = "DAGSTER_PIPES_CONTEXT"
# A run or experiment of another MLflow than the one that a pipeline writes to here.
_OTHERS_RUN = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")


class Interrupted(BaseException):
    """Raised by a signal. No Exception: ZenML would take it for a failed step and go on with the next."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"ended by {signal.Signals(signum).name}")
        self.exit_code = 128 + signum


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command of ``arguments`` and return the exit code."""
    options = _parse(arguments)
    _handle_signals(_interrupt)
    if PIPES_VARIABLE in os.environ:
        # Whoever would read the result is the parent; without it this would train into a version that counts as failed.
        end_with_parent()
    try:
        settings = Settings()
        prepare(settings, verbosity="INFO")
        if os.environ.get(TRACKING_VARIABLE):
            for name in _OTHERS_RUN:
                os.environ.pop(name, None)
        offer_models(settings.models)
        install_fair_package()
        code, result = _train(settings, options) if options.command == "train" else _predict(settings, options)
        write_json(options.result, result)
        _report(result)
    except Interrupted as interruption:
        write_json(options.result, {"status": "stopped", "error": str(interruption)})
        return interruption.exit_code
    except Exception as error:
        # The boundary of the process: whoever waits for the result gets a cause, whatever went wrong.
        cause = str(error) if isinstance(error, FairError) else describe_error(error)
        result = {"status": "failed", "error": cause}
        write_json(options.result, result)
        _report(result)
        code = 1
    if result["error"]:
        # The last thing in the log is what an operator reads first.
        where = f"step {result['step']}: " if result.get("step") else ""
        print(f"{result['status']}: {where}{result['error']}", file=sys.stderr, flush=True)  # noqa: T201
    return code


def _train(settings: Settings, options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    from fair_dagster.pipelines.training import Training

    training = Training(settings, options.config, options.entrypoint, options.addresses)

    def stop(signum: int, _frame: FrameType | None) -> None:
        # A second signal must not cut the clean-up short; SIGKILL still does.
        _handle_signals(signal.SIG_IGN)
        interruption = Interrupted(signum)
        # ZenML takes what follows for a failed step, unless it knows before. Best effort: the database may
        # be the very thing that was interrupted.
        with contextlib.suppress(Exception):
            training.announce_stop(str(interruption))
        raise interruption

    _handle_signals(stop)
    try:
        result = training.run()
    except Interrupted as interruption:
        _handle_signals(signal.SIG_IGN)  # Unwinding the step, ZenML has put `stop` back.
        return interruption.exit_code, training.interrupted(str(interruption)).as_json()
    document = result.as_json()
    _tell_tracking(settings, options.config, document)
    if result.status != "completed":
        return 1, document
    from fair_dagster.pipelines.preview import draw_preview

    draw_preview(settings, options.entrypoint, options.config, document)
    return 0, document


def _tell_tracking(settings: Settings, config: Path, result: dict[str, Any]) -> None:
    """The result and the exported model, before the picture is drawn: both take a second, and go on at once."""
    if not os.environ.get(TRACKING_VARIABLE):
        return
    event: dict[str, Any] = {"result": result}
    if uri := result["artifacts"].get(ONNX_ARTIFACT):
        from fair_dagster.pipelines.zenml.artifacts import artifact_file

        with contextlib.suppress(FairError, OSError):
            event["model"] = str(artifact_file(settings, uri, config.parent / "tracked"))
    tell_tracking(event)


def _predict(settings: Settings, options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    from fair_dagster.pipelines.prediction import predict

    allow_absent_zenml()
    return 0, {"status": "completed", "error": None, **predict(settings, options.config)}


def _report(result: dict[str, Any]) -> None:
    if PIPES_VARIABLE not in os.environ:
        return
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes:
        pipes.report_custom_message(result)


def _handle_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, handler)


def _interrupt(signum: int, _frame: FrameType | None) -> None:
    raise Interrupted(signum)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fair_dagster.pipelines.runner", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="run a training pipeline with a ZenML run configuration")
    train.add_argument("--entrypoint", required=True, help="e.g. models.ramp.pipeline:training_pipeline")
    addresses = "the same as --config before its inputs were fetched, for steps that run on other machines"
    train.add_argument("--addresses", type=Path, help=addresses)
    predict = commands.add_parser("predict", help="run a model's predict function on chips")
    for command in (train, predict):
        command.add_argument("--config", type=Path, required=True, help="YAML that says what to run")
        command.add_argument("--result", type=Path, required=True, help="JSON file to write at the end")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    collect_rarely()
    leave(main())

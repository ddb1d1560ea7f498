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
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from fair_dagster.domain.errors import FairError
from fair_dagster.net.files import write_json
from fair_dagster.net.processes import collect_rarely, end_with_parent, leave
from fair_dagster.pipelines.compat import install_fair_package
from fair_dagster.pipelines.compat.absent_zenml import allow_absent_zenml
from fair_dagster.pipelines.entrypoints import offer_models
from fair_dagster.pipelines.metadata import TRACKING_VARIABLE
from fair_dagster.pipelines.zenml.environment import prepare
from fair_dagster.pipelines.zenml.run_records import describe_error
from fair_dagster.settings import Settings

PIPES_VARIABLE = "DAGSTER_PIPES_CONTEXT"
_DELIVERY_SECONDS = {True: 15.0, False: 600.0}
"""How long a training waits for its tracker, by whether a job on the same machine would go on."""
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
    if os.environ.get(TRACKING_VARIABLE):
        # What is tracked is read from there.
        write_json(options.result, document)
        document["tracking"] = _deliver(settings, completed=result.status == "completed")
    if result.status != "completed":
        return 1, document
    from fair_dagster.pipelines.preview import draw_preview

    draw_preview(settings, options.entrypoint, options.config, document)
    return 0, document


def _deliver(settings: Settings, *, completed: bool) -> dict[str, Any]:
    """Bring the tracked run to its end and to the tracker, before the picture is drawn.

    MLflow is loaded here already, and on a worker nobody else sees this home. What takes too long, or fails, is left
    to the job that tries again.
    """
    from fair_dagster.pipelines.tracking.delivery import Delivery, deliver
    from fair_dagster.pipelines.tracking.trainings import TrackedTraining, open_trainings

    training = TrackedTraining.read(Path(os.environ[TRACKING_VARIABLE]))
    if training is None or (training.elsewhere and settings.tracking == "mlflow" and not settings.tracking_uri):
        # A server with a password, which is not handed on to this process.
        return {}
    ended = training.ended_as("FINISHED" if completed else "FAILED")
    done: list[Delivery] = []
    others = [one for one in open_trainings(settings) if one.key != training.key]
    copying = threading.Thread(target=lambda: done.append(deliver(settings, [ended, *others])), daemon=True)
    copying.start()
    copying.join(_DELIVERY_SECONDS[settings.executor == "local"])
    found = done[0] if done else Delivery(problem="the tracker takes long")
    sent = next((one for one in found.delivered if one.training == ended), None)
    return {"problem": found.problem} | ({"url": sent.url, "run_id": sent.run_id} if sent else {})


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

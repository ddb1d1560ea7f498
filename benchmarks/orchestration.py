"""One finetune through Dagster, and the same run configuration through ZenML alone.

    python -m benchmarks.orchestration [--json] [--repeat 3] [--data DIR]

Both legs run a pipeline in fresh processes in one home, in turns. The Dagster leg is what ``fair-dagster finetune``
does: check, allocation, a process that executes the job, in it the child that trains and draws its picture. The ZenML
leg gets a version and its YAML made beforehand, and is timed from the start of its process to the end.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.report import Budget, Report, Row, Table, note, show
from fair_dagster.fair import Fair
from fair_dagster.flows.datasets import DatasetSpec
from fair_dagster.flows.finetunes import allocations, training
from fair_dagster.flows.finetunes.training import Ask
from fair_dagster.imagery.synthesize import synthesize
from fair_dagster.pipelines.zenml.environment import zenml_environment
from fair_dagster.settings import Settings

BUDGET = 1.3
MODEL = "texture-segmentation"
DATASET = "benchmark"
_ZENML_ALONE = """
import sys
from models.texture_segmentation.pipeline import training_pipeline
training_pipeline.with_options(config_path=sys.argv[1])()
"""


def prepare(home: Path, data: Path | None) -> Fair:
    """An installation with the base model and the dataset registered."""
    fair = Fair(Settings(home=home, catalog="", offline=True))
    fair.init()
    fair.register_base_model(MODEL)
    if data is None:
        town = synthesize(home / "data")
        chips, labels = town.train_chips, town.labels
    else:
        chips, labels = data / "train" / "chips", data / "train" / "labels.geojson"
    spec = DatasetSpec(DATASET, chips, labels, synthetic=data is None)
    fair.register_dataset(fair.create_dataset(spec, home / "dataset.json"))
    return fair


def through_dagster(fair: Fair) -> float:
    """Seconds of a finetune as the command line runs it."""
    start = time.perf_counter()
    fair.finetune(_ask("through-dagster")).wait()
    return time.perf_counter() - start


def through_zenml(fair: Fair) -> float:
    """Seconds of the same training as a fresh ZenML process.

    Raises:
        RuntimeError: it failed; the message is the end of its output.
    """
    services = fair.services
    version = allocations.allocate(services, training.check(services, _ask("through-zenml")))
    path, _ = training.write_config(services, version.id)
    environment = os.environ | fair.settings.environment() | zenml_environment(fair.settings, verbosity="INFO")
    command = [sys.executable, "-c", _ZENML_ALONE, str(path)]
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, cwd=fair.settings.models.parent, capture_output=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-2000:])
    return seconds


def _ask(model_name: str) -> Ask:
    return Ask(MODEL, DATASET, model_name, {})


def measure(fair: Fair, repeat: int) -> list[tuple[float, float]]:
    """Seconds through Dagster and through ZenML alone, ``repeat`` pairs; who is first alternates."""
    note("warming up: the first run of either makes databases and caches …")
    through_zenml(fair)
    through_dagster(fair)
    pairs = []
    for number in range(repeat):
        note(f"pair {number + 1} of {repeat} …")
        if number % 2:
            dagster = through_dagster(fair)
            pairs.append((dagster, through_zenml(fair)))
        else:
            zenml = through_zenml(fair)
            pairs.append((through_dagster(fair), zenml))
    return pairs


def report(pairs: Sequence[tuple[float, float]], data: str) -> Report:
    """The pairs, their medians, and whether the budget is kept."""
    rows: list[Row] = [_row(str(number), *pair) for number, pair in enumerate(pairs, start=1)]
    dagster, zenml = (statistics.median(column) for column in zip(*pairs, strict=True))
    rows.append(_row("median", dagster, zenml))
    return Report(
        "orchestration",
        [Table(f"One finetune of {MODEL} on {data}, whole processes", rows)],
        [Budget("through Dagster against ZenML alone", dagster / zenml, BUDGET, unit="times as long")],
    )


def _row(pair: str, dagster: float, zenml: float) -> Row:
    return {"pair": pair, "through Dagster s": dagster, "ZenML alone s": zenml, "ratio": dagster / zenml}


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--repeat", type=click.IntRange(min=1), default=3, show_default=True, help="Pairs of runs.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    help="Folder with train/chips and train/labels.geojson; the default is a synthetic town.",
)
def main(as_json: bool, repeat: int, data: Path | None) -> None:
    with tempfile.TemporaryDirectory(prefix="fair-benchmark-", ignore_cleanup_errors=True) as folder:
        pairs = measure(prepare(Path(folder), data), repeat)
    sys.exit(show(report(pairs, data.name if data else "a synthetic town"), as_json=as_json))


if __name__ == "__main__":
    main()

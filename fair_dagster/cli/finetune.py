"""``finetune``, ``rerun`` and ``predict``: what starts a long run and waits for it."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fair_dagster.cli.terminal import views
from fair_dagster.cli.terminal.output import Column
from fair_dagster.cli.terminal.session import Session, reports
from fair_dagster.cli.terminal.signals import sigterm_stops
from fair_dagster.cli.terminal.values import set_option
from fair_dagster.cli.terminal.waiting import wait

if TYPE_CHECKING:
    from fair_dagster.domain.versions import VersionRecord
    from fair_dagster.fair import Started

_DETACH_HELP = "Return the run's id at once; `run show` and `run logs` tell the rest."


@click.command("finetune")
@click.option("--base-model", required=True, help="Name of a registered base model.")
@click.option("--dataset", required=True, help="Name of a registered dataset.")
@click.option("--name", required=True, help="Name of the finetuned model; each finetune is a new version of it.")
@set_option("A hyperparameter, e.g. --set epochs=5; `base-model show` lists them.")
@click.option("--title")
@click.option("--description")
@click.option("--user", help="Who asks for it.")
@click.option("--detach", is_flag=True, help=_DETACH_HELP)
@reports
def finetune(
    session: Session,
    *,
    base_model: str,
    dataset: str,
    name: str,
    overrides: dict[str, Any],
    title: str | None,
    description: str | None,
    user: str | None,
    detach: bool,
) -> None:
    """Finetune a base model on a dataset, as a new version of a model. Ctrl-C stops the run."""
    from fair_dagster.fair import Ask

    started = session.fair.finetune(Ask(base_model, dataset, name, overrides, title, description, user))
    if detach:
        _show_detached(session, started)
        return
    session.out.remark(f"training {started.subject}, run {started.run_id}")
    version = session.fair.version(wait(started, session.out, started.subject))

    def text() -> None:
        session.out.pairs(views.version_pairs(version))
        session.out.line(f"next: fair-dagster version promote {version.id}")

    session.out.show(views.version_document(version) | {"run": started.run_id}, text)


@click.command("rerun")
@click.argument("version_id")
@click.option("--detach", is_flag=True, help=_DETACH_HELP)
@reports
def rerun(session: Session, version_id: str, detach: bool) -> None:
    """Train a version's configuration again, as a new version, and compare the metrics."""
    started = session.fair.rerun(version_id)
    if detach:
        _show_detached(session, started)
        return
    session.out.remark(f"training {started.subject} again as {version_id} was, run {started.run_id}")
    again = session.fair.version(wait(started, session.out, started.subject))
    _show_rerun(session, session.fair.version(version_id), again, started.run_id)


def _show_rerun(session: Session, original: "VersionRecord", again: "VersionRecord", run_id: str) -> None:
    differences = views.metric_differences(original, again)
    # A training that logged no metric proves nothing.
    is_equal = bool(differences) and all(first == second for _, first, second in differences)

    def text() -> None:
        columns = [
            Column("metric"),
            Column(original.id, whole=True, right=True),
            Column(again.id, whole=True, right=True),
        ]
        # All digits: a difference in the last one counts.
        session.out.table(columns, [[name, _exact(first), _exact(second)] for name, first, second in differences])
        session.out.line("the metrics are equal" if is_equal else "the metrics are NOT equal")

    document = {
        "version": again.id,
        "rerun_of": original.id,
        "run": run_id,
        "equal": is_equal,
        "metrics": {name: {"original": first, "rerun": second} for name, first, second in differences},
    }
    session.out.show(document, text)


def _exact(number: float | None) -> str:
    return "" if number is None else repr(number)


@click.command("predict")
@click.argument("model")
@click.option("--images", type=click.Path(path_type=Path), required=True, help="Folder of PNG or GeoTIFF chips.")
@set_option("An inference parameter, e.g. --set confidence_threshold=0.6; `item show` lists them.")
@click.option(
    "--output", type=click.Path(path_type=Path), help="GeoJSON file; the default is one under the home folder."
)
@click.option("--detach", is_flag=True, help=_DETACH_HELP)
@click.option("--no-run", is_flag=True, help="Predict without Dagster: sooner, and `run list` does not show it.")
@reports
def predict(
    session: Session,
    *,
    model: str,
    images: Path,
    overrides: dict[str, Any],
    output: Path | None,
    detach: bool,
    no_run: bool,
) -> None:
    """Draw features on images, as GeoJSON in EPSG:4326.

    MODEL is a finetuned model (its promoted version is used), one of its published versions, a base model, or an
    artifact of a registry: oci://registry/repository:tag, or …@sha256:….

    Where Dagster or its definitions are not installed, --no-run is what happens.
    """
    if detach and no_run:
        raise click.UsageError("--detach leaves a run to itself, and --no-run makes none")
    registries = None
    if model.startswith("oci://"):
        registries = session.fair.oci.trusting_references().client(model)
    if no_run or not (detach or session.fair.can_start_runs()):
        session.out.remark(f"predicting with {model}, without a run of Dagster")
        with sigterm_stops():
            drawn = session.fair.predict_here(model, images, overrides=overrides, output=output, registries=registries)
        _show_predicted(session, drawn, None)
        return
    started = session.fair.predict(model, images, overrides=overrides, output=output, registries=registries)
    if detach:
        _show_detached(session, started)
        return
    session.out.remark(f"predicting with {model}, run {started.run_id}")
    _show_predicted(session, Path(wait(started, session.out, f"predicting with {model}")), started.run_id)


def _show_predicted(session: Session, path: Path, run_id: str | None) -> None:
    count = count_features(path)

    def text() -> None:
        session.out.line(f"{count} feature{'' if count == 1 else 's'} in {path}")

    session.out.show({"run": run_id, "output": str(path), "features": count}, text)


def count_features(path: Path) -> int:
    """How many features a GeoJSON file holds."""
    import orjson

    return len(orjson.loads(path.read_bytes())["features"])


def _show_detached(session: Session, started: "Started") -> None:
    def text() -> None:
        session.out.line(f"run      {started.run_id}")
        session.out.line(f"subject  {started.subject}")
        session.out.line(f"next: {shlex.join(['fair-dagster', 'run', 'show', started.run_id])}")

    session.out.show({"run": started.run_id, "subject": started.subject}, text)

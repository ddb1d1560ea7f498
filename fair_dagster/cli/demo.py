"""``demo``: the whole story in one command, on a folder of chips or on a synthetic town.

Every step is a call of ``Fair`` that a user could make; nothing is prepared behind the scenes.
"""

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fair_dagster.cli.finetune import count_features
from fair_dagster.cli.terminal.cells import duration
from fair_dagster.cli.terminal.output import Output
from fair_dagster.cli.terminal.progress import wait
from fair_dagster.cli.terminal.session import Session, reports

if TYPE_CHECKING:
    from fair_dagster.domain.items.stac import Item
    from fair_dagster.domain.versions import VersionRecord
    from fair_dagster.fair import Fair

_BASE_MODEL = "texture-segmentation"
_TOWN = "synthetic-town"


@dataclass(frozen=True)
class Data:
    """What the demo runs on; ``slug`` names the dataset."""

    slug: str
    train_chips: Path
    labels: Path
    predict_chips: Path
    synthetic: bool = False


@dataclass(frozen=True)
class DemoOutcome:
    """What the demo made."""

    version: "VersionRecord"
    item: "Item"
    geojson: Path
    features: int


@dataclass
class Steps:
    """Announces each step, and how long it took."""

    out: Output
    durations: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        self.out.remark(f"- {title}")
        began = time.monotonic()
        yield
        self.durations[title] = time.monotonic() - began
        self.out.remark(f"  done in {duration(self.durations[title])}")


@click.command("demo")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder with train/chips, train/labels.geojson and predict/chips; the default is a synthetic town.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of the training; the default is the base model's.")
@reports
def demo(session: Session, data: Path | None, epochs: int | None) -> None:
    """Register, finetune, promote, predict: the whole story in one command. A second time makes a second version."""
    steps = Steps(session.out)
    began = time.monotonic()
    outcome = tell(session.fair, steps, data, {} if epochs is None else {"epochs": epochs})
    seconds = time.monotonic() - began
    document = _document(session.fair, outcome) | {"seconds": seconds, "steps": steps.durations}
    session.out.show(document, lambda: _print_outcome(session, outcome, seconds))


def tell(fair: "Fair", steps: Steps, folder: Path | None, overrides: dict[str, Any]) -> DemoOutcome:
    """The story.

    Raises:
        FairError: of the step that failed.
    """
    from fair_dagster.fair import Ask

    given = None if folder is None else data_in(folder)
    with steps.step(f"make the home folder {fair.settings.home}"):
        fair.init()
    data = given or _synthetic_town(fair, steps)
    with steps.step(f"register base model {_BASE_MODEL}"):
        fair.register_base_model(_BASE_MODEL)
    with steps.step(f"describe and register dataset {data.slug}"):
        fair.register_dataset(_described(fair, data))
    model = f"buildings-{data.slug}"
    with steps.step(f"finetune {_BASE_MODEL} on {data.slug} as {model}"):
        started = fair.finetune(Ask(_BASE_MODEL, data.slug, model, overrides))
        steps.out.remark(f"  version {started.subject}, run {started.run_id}")
        version = fair.version(wait(started, steps.out, "  training"))
    with steps.step(f"promote {version.id}"):
        item = fair.promote(version.id)
    with steps.step(f"predict on {data.predict_chips} with {model}"):
        path = Path(wait(fair.predict(model, data.predict_chips), steps.out, "  predicting"))
    with steps.step("recompute the collections and check every item"):
        fair.refresh_collections()
    return DemoOutcome(version, item, path, count_features(path))


def data_in(folder: Path) -> Data:
    """The data of a folder, named after it.

    Raises:
        RefusedError: parts are missing; each is named.
    """
    from fair_dagster.domain.errors import RefusedError

    resolved = folder.resolve()
    slug = re.sub(r"[^a-z0-9]+", "-", resolved.name.lower()).strip("-") or "data"
    data = Data(
        slug,
        train_chips=resolved / "train" / "chips",
        labels=resolved / "train" / "labels.geojson",
        predict_chips=resolved / "predict" / "chips",
    )
    missing = [str(path) for path in (data.train_chips, data.predict_chips) if not path.is_dir()]
    missing += [] if data.labels.is_file() else [str(data.labels)]
    if missing:
        raise RefusedError(f"demo data {folder}", [f"{path} is missing" for path in missing])
    return data


def _synthetic_town(fair: "Fair", steps: Steps) -> Data:
    with steps.step("draw a synthetic town: no data was given, and no such place exists"):
        town = fair.synthetic_town()
    return Data(_TOWN, town.train_chips, town.labels, town.predict_chips, synthetic=True)


def _described(fair: "Fair", data: Data) -> Path:
    """The item file of the dataset, under the home folder: the data's own folder may be read-only."""
    from fair_dagster.fair import DatasetSpec

    spec = DatasetSpec(data.slug, data.train_chips, data.labels, synthetic=data.synthetic)
    path = fair.settings.home / "demo-data" / f"{data.slug}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    return fair.create_dataset(spec, path)


def _document(fair: "Fair", outcome: DemoOutcome) -> dict[str, Any]:
    return {
        "catalog": fair.settings.catalog or str(fair.settings.catalog_path / "catalog.json"),
        "version": outcome.version.id,
        "item": fair.href(outcome.item),
        "geojson": str(outcome.geojson),
        "features": outcome.features,
        "metrics": dict(outcome.version.training.metrics),
        "training_seconds": outcome.version.training.wall_seconds,
    }


def _print_outcome(session: Session, outcome: DemoOutcome, seconds: float) -> None:
    found = _document(session.fair, outcome)
    session.out.line()
    session.out.pairs(
        [
            ("catalog", found["catalog"]),
            ("promoted item", found["item"]),
            ("predictions", f"{found['geojson']} ({outcome.features} features)"),
            *((f"metric {name}", value) for name, value in outcome.version.training.metrics.items()),
            ("training", duration(outcome.version.training.wall_seconds)),
            ("all of it", duration(seconds)),
        ]
    )
    session.out.line()
    session.out.hint(f"fair-dagster --home {session.fair.settings.home} ui")

"""One installation for all end-to-end tests: real ZenML, real Dagster, real catalog, and a small synthetic town.

What takes seconds is made once, by fixtures that build on each other; tests that change something work on versions or
models of their own.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.domain import items
from fair_dagster.domain.items.digests import digest_of
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.fair import Fair
from fair_dagster.flows.datasets import DatasetSpec
from fair_dagster.flows.finetunes.training import Ask
from fair_dagster.imagery.synthesize import SyntheticDataset, synthesize
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.instance import open_instance
from fair_dagster.orchestration.runs.records import Run
from fair_dagster.orchestration.runs.started import Started
from fair_dagster.settings import PROJECT_ROOT, Settings

MODEL = "texture-segmentation"
RAISING = "raising-segmentation"
TOWN = "town"
NAME = "town-buildings"
QUICK = {"epochs": 2, "pixels_per_chip": 500}
ENDLESS = {"epochs": 100, "pixels_per_chip": 100_000}
"""Trains for minutes: long enough to be ended half-way."""


@dataclass(frozen=True)
class State:
    """What the three stores hold; equal before and after whatever was refused."""

    items: dict[str, str]
    versions: dict[str, str]
    partitions: dict[str, frozenset[str]]
    artifacts: frozenset[str]


def state_of(fair: Fair) -> State:
    catalog = fair.services.catalog
    with open_instance(fair.settings) as instance:
        names = [keys.DATASETS_PARTITIONS_NAME, *(keys.finetunes_name(slug) for slug in (MODEL, RAISING))]
        partitions = {name: frozenset(instance.get_dynamic_partitions(name)) for name in names}
    root = fair.settings.artifacts_path
    return State(
        items={f"{name}/{item['id']}": digest_of(item) for name in items.COLLECTIONS for item in catalog.items(name)},
        versions={v.uuid: f"{v.id} {v.stage}" for name in fair.models() for v in fair.versions(name)},
        partitions=partitions,
        artifacts=frozenset(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()),
    )


def ask(name: str, *, base_model: str = MODEL, dataset: str = TOWN, **overrides: Any) -> Ask:
    return Ask(base_model, dataset, name, QUICK | overrides)


def until(condition: Callable[[], Any], what: str, seconds: float = 120) -> Any:
    """Wait until ``condition`` holds, and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not happen in {seconds} s")
        time.sleep(0.1)
    return result


def training(fair: Fair, started: Started) -> Run:
    """The run, once its training has begun."""

    def begun() -> Run | None:
        run = fair.run(started.run_id)
        assert not run.finished, fair.logs(started.run_id, tail=20)
        return run if run.progress is not None else None

    return until(begun, "the training")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real model folder, and one like it whose training raises."""
    root = tmp_path_factory.mktemp("e2e") / "models"
    ignored = shutil.ignore_patterns("__pycache__", "tests")
    shutil.copytree(PROJECT_ROOT / "models" / "texture_segmentation", root / "texture_segmentation", ignore=ignored)
    raising = root / "raising_segmentation"
    shutil.copytree(root / "texture_segmentation", raising)
    for path in (*raising.glob("*.py"), raising / "stac-item.json"):
        text = path.read_text().replace("texture_segmentation", raising.name).replace(MODEL, RAISING)
        path.write_text(text)
    pipeline = raising / "pipeline.py"
    line = "    started = time.perf_counter()\n"
    assert line in pipeline.read_text()
    pipeline.write_text(
        pipeline.read_text().replace(line, f'{line}    raise ValueError("the roofs are upside down")\n')
    )
    return root


@pytest.fixture(scope="session")
def settings(zenml_home: Path, models: Path, schema_cache: Path) -> Settings:
    return Settings(home=zenml_home, models=models, schema_cache=schema_cache, offline=True, catalog="")


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> SyntheticDataset:
    return synthesize(tmp_path_factory.mktemp("town"), chips=6, size=128, seed=5)


@pytest.fixture(scope="session")
def fair(settings: Settings, town: SyntheticDataset, tmp_path_factory: pytest.TempPathFactory) -> Fair:
    """With the base models and the town registered."""
    fair = Fair(settings)
    fair.init()
    for slug in (MODEL, RAISING):
        fair.register_base_model(slug)
    spec = DatasetSpec(TOWN, town.train_chips, town.labels, synthetic=True)
    fair.register_dataset(fair.create_dataset(spec, tmp_path_factory.mktemp("dataset") / "stac-item.json"))
    return fair


@pytest.fixture(scope="session")
def finetune(fair: Fair) -> Started:
    """A finetune that has ended well."""
    started = fair.finetune(ask(NAME))
    assert started.wait() == f"{NAME}-v1"
    return started


@pytest.fixture(scope="session")
def first(fair: Fair, finetune: Started) -> VersionRecord:
    return fair.version(finetune.subject)


@pytest.fixture(scope="session")
def promoted(fair: Fair, first: VersionRecord) -> Item:
    return fair.promote(first.id)


@pytest.fixture(scope="session")
def second(fair: Fair, promoted: Item) -> VersionRecord:
    """A rerun of the promoted version."""
    return fair.version(fair.rerun(promoted["id"]).wait())

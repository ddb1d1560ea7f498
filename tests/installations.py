"""What tests of several rooms act on: a real catalog and artifact store, the real texture model, ZenML in memory."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from fair_dagster.domain import items
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.flows import datasets
from fair_dagster.flows.base_models import registration
from fair_dagster.flows.finetunes import allocations, training
from fair_dagster.flows.publication import families
from fair_dagster.flows.services import Services
from fair_dagster.imagery.synthesize import SyntheticDataset, synthesize
from fair_dagster.pipelines.zenml.model_versions import ModelVersions
from fair_dagster.settings import PROJECT_ROOT, Settings
from tests.flows.fakes import FakeVersions

MODEL = "texture-segmentation"
DATASET = "town"
NAME = "town-buildings"


@dataclass(frozen=True)
class Installation:
    """Services on fakes, and the folder of the one base model."""

    services: Services
    versions: FakeVersions
    folder: Path
    town: SyntheticDataset

    def register_base_model(self) -> Item:
        registration.register(self.services, self.folder)
        return self.active(items.BASE_MODELS, MODEL)

    def register_dataset(self, slug: str = DATASET, **fields: Any) -> Item:
        spec = datasets.DatasetSpec(slug, self.town.train_chips, self.town.labels, synthetic=True, **fields)
        path = self.services.settings.home / f"{slug}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        datasets.write_item(datasets.create(self.services, spec), path)
        datasets.register(self.services, path)
        return self.active(items.DATASETS, slug)

    def trained(self, model_name: str = NAME, /, **overrides: Any) -> VersionRecord:
        """A version of a model whose training has ended well."""
        request = training.check(self.services, training.Ask(MODEL, DATASET, model_name, overrides))
        version = allocations.allocate(self.services, request)
        training.write_config(self.services, version.id)
        return self.versions.train(model_name, version.number)

    def promote(self, version: VersionRecord) -> None:
        families.set_stage(self.services, version.name, version.number, "production")
        families.recompute(self.services, version.name)

    def active(self, collection: str, slug: str) -> Item:
        (item,) = [item for item in self.services.catalog.family(collection, slug) if items.is_active(item)]
        return item

    def published(self, collection: str = items.LOCAL_MODELS) -> dict[str, bool]:
        """Ids of a collection's items, and whether each is active."""
        return {item["id"]: items.is_active(item) for item in self.services.catalog.items(collection)}

    def artifacts(self, collection: str) -> set[str]:
        """The folders of published versions of a collection."""
        root = self.services.settings.artifacts_path / collection
        return {path.name for path in root.glob("*/*")}


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> SyntheticDataset:
    return synthesize(tmp_path_factory.mktemp("town"), chips=4, size=64, seed=3)


@pytest.fixture
def make(tmp_path: Path, schema_cache: Path, town: SyntheticDataset) -> Callable[[], Installation]:
    def installation() -> Installation:
        models = tmp_path / "models"
        folder = models / "texture_segmentation"
        ignored = shutil.ignore_patterns("__pycache__", "tests")
        shutil.copytree(PROJECT_ROOT / "models" / "texture_segmentation", folder, ignore=ignored)
        settings = Settings(home=tmp_path / "home", models=models, schema_cache=schema_cache, offline=True, catalog="")
        services = Services(settings)
        versions = FakeVersions(tmp_path / "zenml")
        services.__dict__["versions"] = cast(ModelVersions, versions)
        return Installation(services, versions, folder, town)

    return installation


@pytest.fixture
def bare(make: Callable[[], Installation]) -> Installation:
    """Nothing is registered."""
    return make()


@pytest.fixture
def installation(bare: Installation) -> Installation:
    """With the base model and a dataset."""
    bare.register_base_model()
    bare.register_dataset()
    return bare

"""A team whose catalog holds datasets of a former schema, for a backfill to bring up to date."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from fair_dagster.domain import items
from fair_dagster.flows import datasets
from fair_dagster.flows.base_models import registration
from fair_dagster.flows.services import Services
from fair_dagster.imagery.synthesize import synthesize
from fair_dagster.orchestration import keys
from fair_dagster.settings import PROJECT_ROOT
from tests.flows.publication.former import make_former
from tests.orchestration.workers.cluster import Redis, Team
from tests.services.servers import StacApis

DATASETS = [f"town-{number:02d}" for number in range(9)]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    pytest.importorskip("dagster_celery", reason="the extra `team` is not installed")
    found = Redis(tmp_path_factory.mktemp("redis"))
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def team(
    tmp_path_factory: pytest.TempPathFactory,
    schema_cache: Path,
    postgres: dict[str, str],
    broker: Redis,
) -> Iterator[Team]:
    """A team with a catalog of files."""
    with gathered(Team(tmp_path_factory.mktemp("team"), schema_cache, postgres, broker)) as found:
        yield found


@pytest.fixture
def pgstac_team(  # noqa: PLR0917 - fixtures
    tmp_path_factory: pytest.TempPathFactory,
    schema_cache: Path,
    postgres: dict[str, str],
    broker: Redis,
    pgstac_database: str,
    stac_api: StacApis,
) -> Iterator[Team]:
    """A team with a catalog on pgstac."""
    api = stac_api(pgstac_database)
    found = Team(tmp_path_factory.mktemp("team"), schema_cache, postgres, broker, api, pgstac_database)
    with gathered(found):
        yield found


@contextmanager
def gathered(team: Team) -> Iterator[Team]:
    """Nobody has been started yet; the environment names Dagster's database."""
    source = PROJECT_ROOT / "models" / "texture_segmentation"
    shutil.copytree(source, team.models / source.name, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in team.postgres.items():
            patch.setenv(name, value)
        register(team)
        yield team
        team.end()


def register(team: Team) -> None:
    """A base model, and datasets that follow a former schema."""
    services = Services(team.settings("observer"))
    registration.register(services, team.models / "texture_segmentation")
    town = synthesize(team.folder / "data", chips=2, size=64, seed=3)
    for slug in DATASETS:
        path = team.folder / f"{slug}.json"
        spec = datasets.DatasetSpec(slug, town.train_chips, town.labels, synthetic=True)
        datasets.write_item(datasets.create(services, spec), path)
        datasets.register(services, path)
    with team.instance() as instance:
        instance.add_dynamic_partitions(keys.DATASETS_PARTITIONS_NAME, DATASETS)
    make_former(SimpleNamespace(services=services), items.DATASETS)

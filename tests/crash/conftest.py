"""One home with trained versions for all crash tests, the process that forks, and catalogs and artifacts of each kind.

``--points 50`` kills at so many points a store and shows where they hit; ``--dice 7`` throws them elsewhere.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.imagery.synthesize import synthesize
from fair_dagster.settings import PROJECT_ROOT, Settings
from tests.crash.nursery import Ended, Nursery
from tests.crash.places import Bucket, Database, Folder, Place, World
from tests.crash.points import Point, table

POINTS = 4
DICE = 4
VERSIONS = 3
Row = tuple[str, list[str]]
_ROWS = pytest.StashKey[list[Row]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--points", type=int, default=POINTS, help="how many points a store processes are killed at")
    parser.addoption("--dice", type=int, default=DICE, help="the seed that chooses the points")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if rows := config.stash.get(_ROWS, []):
        terminalreporter.section("where processes were killed")
        terminalreporter.write_line(table(rows))


@pytest.fixture
def rows(pytestconfig: pytest.Config) -> list[Row]:
    """Where points hit, to be shown at the end."""
    return pytestconfig.stash.setdefault(_ROWS, [])


@dataclass(frozen=True)
class Home:
    """The home of all crash tests. Its ZenML holds trained versions of which none was promoted."""

    nursery: Nursery
    settings: dict[str, Any]
    zenml: Folder
    sources: dict[str, Any]


@pytest.fixture(scope="session")
def crash_home(tmp_path_factory: pytest.TempPathFactory, schema_cache: Path) -> Iterator[Home]:
    root = tmp_path_factory.mktemp("crash")
    folder = root / "models" / "texture_segmentation"
    ignored = shutil.ignore_patterns("__pycache__", "tests")
    shutil.copytree(PROJECT_ROOT / "models" / "texture_segmentation", folder, ignore=ignored)
    town = synthesize(root / "town", chips=4, size=64, seed=3)
    home = root / "home"
    settings = {"home": str(home), "models": str(folder.parent), "schema_cache": str(schema_cache), "offline": True}
    nursery = Nursery(Settings(**settings), root / "log")
    sources = {"folder": str(folder), "town": [str(town.train_chips), str(town.labels)]}
    nursery.done("make_versions", settings | {"catalog": str(root / "first")}, {}, count=VERSIONS, **sources)
    database = home / "zenml" / "local_stores" / "default_zen_store"
    zenml = Folder(database, root / "zenml", {}, {})
    zenml.keep()
    nursery.warm(settings | {"catalog": str(root / "warm"), "artifacts": str(root / "artifacts")}, **sources)
    yield Home(nursery, settings, zenml, sources)
    nursery.close()


@dataclass(frozen=True)
class Crash:
    """An installation in which version 1 is in production, and what may be done with it again and again."""

    nursery: Nursery
    world: World

    def run(self, act: str, kill: Point | None = None, **arguments: Any) -> Ended:
        return self.nursery.run(act, self.world.settings, self.world.environment, kill, **arguments)

    def done(self, act: str, **arguments: Any) -> Ended:
        return self.nursery.done(act, self.world.settings, self.world.environment, **arguments)


@pytest.fixture
def crash(crash_home: Home, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], Crash]]:
    """Makes an installation with a catalog and artifacts of a kind."""
    databases = []

    def made(catalog: str, artifacts: str) -> Crash:
        kept = tmp_path / "kept"
        places: list[Place] = [Folder(crash_home.zenml.path, kept / "zenml", crash_home.settings, {})]
        if catalog == "JSON":
            places.append(Folder(Path(crash_home.settings["home"]) / "catalog", kept / "catalog", {}, {}))
        else:
            dsn = request.getfixturevalue("pgstac_database")
            url = request.getfixturevalue("stac_api")(dsn)
            settings = {"catalog": url} | ({"pgstac_dsn": dsn} if catalog == "pgstac" else {})
            server = request.getfixturevalue("postgres_server")
            databases.append(Database(server, dsn.rpartition("/")[2], settings, {}))
            places.append(databases[0])
        if artifacts == "folder":
            places.append(Folder(Path(crash_home.settings["home"]) / "artifacts", kept / "artifacts", {}, {}))
        else:
            places.append(_bucket(request.getfixturevalue("s3_server"), request.getfixturevalue("s3_bucket")))
        crash_home.zenml.reset()
        for place in places[1:]:
            if isinstance(place, Folder):
                shutil.rmtree(place.path, ignore_errors=True)
        crash = Crash(crash_home.nursery, World(places))
        begun = crash.done("begin", **crash_home.sources)
        assert begun.last("left") == []
        crash.world.keep()
        return crash

    yield made
    for database in databases:
        database.forget()


def _bucket(server: Any, name: str) -> Bucket:
    settings = {"artifacts": f"s3://{name}/a", "s3_endpoint": server.endpoint, "s3_path_style": True}
    keys = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
    return Bucket(server, name, settings, keys | {"AWS_EC2_METADATA_DISABLED": "true"})

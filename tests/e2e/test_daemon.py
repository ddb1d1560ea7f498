"""The real daemon: commits to a repository and stage changes by ZenML's own client become items by themselves.

It runs on a copy of the installation, so that what its sensors find there is the business of these tests alone.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from benchmarks.daemon import Daemon, copy_of
from benchmarks.plain_zenml import PlainZenML
from fair_dagster.catalog.json.store import JsonStore
from fair_dagster.domain import items
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.fair import Fair
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.instance import open_instance
from fair_dagster.pipelines.zenml.environment import zenml_environment
from fair_dagster.settings import Settings
from tests.e2e.conftest import MODEL, until

INTERVAL = 2
ADDED = "added-segmentation"
PATIENCE = 180
"""Seconds; on a machine that does nothing else each step takes about ten."""


@dataclass(frozen=True)
class Place:
    """An installation with a daemon, and the repository it follows."""

    settings: Settings
    repository: Path
    daemon: Daemon
    zenml: PlainZenML
    trained: str
    """ZenML's UUID of a version that was trained."""

    def states(self, collection: str, slug: str) -> dict[str, str]:
        """State by id of a family's items, read as a consumer would."""
        family = JsonStore(self.settings.catalog_path).family(collection, slug)
        return {item["id"]: "active" if items.is_active(item) else "deprecated" for item in family}

    def become(self, collection: str, slug: str, states: dict[str, str]) -> None:
        def done() -> bool:
            assert self.daemon.running, self.told()
            return self.states(collection, slug) == states

        try:
            until(done, f"{slug}: {states}", PATIENCE)
        except pytest.fail.Exception as failure:
            pytest.fail(f"{failure}; it is {self.states(collection, slug)}\n{self.told()}")

    def told(self) -> str:
        return self.daemon.log.read_text(errors="replace")[-6000:]

    def commit(self, message: str) -> None:
        git(self.repository, "add", "--all")
        git(self.repository, "commit", "--quiet", "--message", message)


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def place(fair: Fair, first: VersionRecord, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("daemon")
    settings = copy_of(fair.settings, root / "home")
    repository = root / "repository"
    shutil.copytree(models / "texture_segmentation", repository / "models" / "texture_segmentation")
    git(root, "init", "--quiet", "--initial-branch", "main", str(repository))
    follows = {"FAIR_MODELS_REPO": str(repository), "FAIR_MODELS": "", "FAIR_SENSOR_INTERVAL": str(INTERVAL)}
    daemon = Daemon(settings, root / "daemon.log", **follows)
    with PlainZenML(zenml_environment(settings)) as zenml:
        here = Place(settings, repository, daemon, zenml, first.uuid)
        here.commit("The model as it is registered")
        with daemon:
            yield here


@pytest.fixture
def folder(place: Place) -> Path:
    """A second base model in the repository's working tree, not committed."""
    original = place.repository / "models" / "texture_segmentation"
    folder = place.repository / "models" / ADDED.replace("-", "_")
    shutil.copytree(original, folder)
    for path in (*folder.glob("*.py"), folder / "stac-item.json"):
        path.write_text(path.read_text().replace(original.name, folder.name).replace(MODEL, ADDED))
    return folder


def test_a_commit_becomes_an_item_and_its_removal_retires_it(place: Place, folder: Path) -> None:
    place.commit("Add a base model")
    place.become(items.BASE_MODELS, ADDED, {ADDED: "active"})
    shutil.rmtree(folder)
    place.commit("Remove it again")
    place.become(items.BASE_MODELS, ADDED, {f"{ADDED}-v1": "deprecated"})
    assert place.states(items.BASE_MODELS, MODEL) == {MODEL: "active"}


def test_stages_set_and_versions_deleted_by_zenmls_own_client_reach_the_catalog(place: Place) -> None:
    name, short_lived = "plainly-staged", "short-lived"
    one, two = (place.zenml.clone(place.trained, name) for _ in range(2))
    place.zenml.stage(one, "production")
    place.zenml.stage(place.zenml.clone(place.trained, short_lived), "production")
    place.become(items.LOCAL_MODELS, name, {f"{name}-v1": "active"})
    place.become(items.LOCAL_MODELS, short_lived, {f"{short_lived}-v1": "active"})
    place.zenml.stage(two, "production")
    place.zenml.delete_model(short_lived)
    place.become(items.LOCAL_MODELS, name, {f"{name}-v1": "deprecated", f"{name}-v2": "active"})
    place.become(items.LOCAL_MODELS, short_lived, {})
    place.zenml.stage(two, "archived")
    place.zenml.delete_version(one)
    place.become(items.LOCAL_MODELS, name, {f"{name}-v2": "deprecated"})


def going(settings: Settings, name: str) -> Callable[[], bool]:
    """Whether a run for the model ``name`` has begun and not ended.

    One that has not noted its process yet would be found dead minutes later.
    """
    begun = dg.RunsFilter(tags={keys.TAG_MODEL: name}, statuses=[dg.DagsterRunStatus.STARTED])

    def found() -> bool:
        with open_instance(settings) as instance:
            return any(keys.TAG_PROCESS in run.tags for run in instance.get_runs(begun))

    return found


def test_a_daemon_killed_between_zenml_and_the_catalog_publishes_after_its_start(place: Place) -> None:
    name = "survivor"
    place.zenml.stage(place.zenml.clone(place.trained, name), "production")
    until(going(place.settings, name), "the run", PATIENCE)
    place.daemon.kill()
    assert place.states(items.LOCAL_MODELS, name) == {}
    place.daemon.start()
    place.become(items.LOCAL_MODELS, name, {f"{name}-v1": "active"})
    # The run that was killed does not keep its place in the queue for ever.
    until(lambda: not going(place.settings, name)(), "the end of the run that was killed", PATIENCE)

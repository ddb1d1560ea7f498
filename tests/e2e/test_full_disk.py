"""A disk that is full or read-only under the catalog, and one under Dagster: nothing is half-written."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fair_dagster.domain.errors import CatalogError, ServiceError
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.fair import Fair
from fair_dagster.flows.datasets import DatasetSpec
from fair_dagster.imagery.synthesize import SyntheticDataset
from tests.e2e.conftest import NAME, state_of


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "fair-test", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
        pytest.skip("mounting a small file system takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="module")
def spare(fair: Fair, promoted: Item) -> Iterator[VersionRecord]:
    """A version that is not published, for this file alone: others count the versions of this model."""
    version = fair.version(fair.rerun(promoted["id"]).wait())
    # A version that was in no stage would end as archived; so it is now, that nothing may change at all.
    fair.services.versions.set_stage(NAME, version.number, "archived")
    yield version
    fair.delete(version.id)


@pytest.fixture
def elsewhere(fair: Fair, disk: Path) -> Fair:
    """The same installation with its catalog on the small disk."""
    shutil.copytree(fair.settings.catalog_path, disk / "catalog")
    return Fair(fair.settings.model_copy(update={"catalog": str(disk / "catalog")}))


@pytest.fixture
def item(fair: Fair, town: SyntheticDataset, tmp_path: Path) -> Path:
    """A dataset that could be registered."""
    spec = DatasetSpec("late", town.train_chips, town.labels, synthetic=True)
    return fair.create_dataset(spec, tmp_path / "late.json")


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_catalog_that_cannot_be_written_keeps_all_stores_in_step(
    elsewhere: Fair, spare: VersionRecord, item: Path, disk: Path, trouble: str
) -> None:
    if trouble == "full":
        fill(disk)
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    before = state_of(elsewhere)
    for act in (
        lambda: elsewhere.register_dataset(item),
        lambda: elsewhere.promote(spare.id),
        lambda: elsewhere.archive(f"{NAME}-v1"),
        lambda: elsewhere.delete(f"{NAME}-v1"),
        lambda: elsewhere.patch(f"{NAME}-v1", {"properties": {"title": "Other"}}),
    ):
        with pytest.raises(CatalogError, match="could not be written"):
            act()
        assert state_of(elsewhere) == before


@pytest.mark.usefixtures("promoted")
def test_a_database_of_dagster_that_cannot_be_written_leaves_nothing(
    fair: Fair, item: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state_of(fair)
    shutil.copy(fair.settings.dagster_path / "dagster.yaml", disk)
    with monkeypatch.context() as environment:
        environment.setenv("DAGSTER_HOME", str(disk))
        fill(disk)
        with pytest.raises(ServiceError, match="Dagster"):
            fair.register_dataset(item)
    assert state_of(fair) == before

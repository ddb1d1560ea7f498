"""Several processes at one family, and a process that is killed in the middle of a repair."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, cast

import pytest

from fair_dagster.domain import items
from fair_dagster.domain.items.stac import ItemKey
from fair_dagster.flows.publication import families
from fair_dagster.flows.reconciliation.repair import repair
from fair_dagster.flows.reconciliation.report import report
from fair_dagster.pipelines.zenml.model_versions import ModelVersions
from fair_dagster.settings import PROJECT_ROOT
from tests.flows.publication.family_child import SharedVersions
from tests.installations import DATASET, MODEL, NAME, Installation

ROUNDS = 25


@pytest.fixture
def shared(bare: Installation, tmp_path: Path) -> Installation:
    """An installation whose ZenML other processes see, with three versions of one model that have been trained."""
    versions = SharedVersions(tmp_path / "zenml")
    bare.services.__dict__["versions"] = cast(ModelVersions, versions)
    made = Installation(bare.services, versions, bare.folder, bare.town)
    made.register_base_model()
    made.register_dataset()
    for _ in range(3):
        made.trained()
    return made


def child(installation: Installation, act: str, *arguments: object) -> subprocess.Popen[str]:
    settings = installation.services.settings
    places = (settings.home, settings.models, settings.schema_cache, settings.home.parent / "zenml")
    command = [sys.executable, "-m", "tests.flows.publication.family_child", act, *map(str, (*places, *arguments))]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=PROJECT_ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_processes_that_promote_different_versions_at_once_leave_one_active_and_lose_none(shared: Installation) -> None:
    children = [child(shared, "promote", NAME, number, ROUNDS) for number in (1, 2, 3)]
    for process in children:
        assert cast(IO[str], process.stdout).readline() == "ready\n"
    for process in children:
        cast(IO[str], process.stdin).write("go\n")
        cast(IO[str], process.stdin).flush()
    for process in children:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told

    published = shared.published()
    assert set(published) == {f"{NAME}-v{number}" for number in (1, 2, 3)}
    (active,) = [item_id for item_id, is_active in published.items() if is_active]
    (produced,) = [number for number, stage in shared.versions.stages(NAME).items() if stage == "production"]
    assert active == f"{NAME}-v{produced}"
    assert not families.recompute(shared.services, NAME), "as a fresh recompute would have it"
    assert report(shared.services) == []
    family = shared.services.catalog.family(items.LOCAL_MODELS, NAME)
    assert len({item["properties"]["fair:promotion"] for item in family}) == 3
    predecessors = [link["href"] for item in family for link in item["links"] if link["rel"] == "predecessor-version"]
    assert len(set(predecessors)) == 2, "one chain"


def test_a_repair_that_was_killed_at_any_step_is_completed_by_the_next(shared: Installation) -> None:
    for number in (1, 2):
        shared.promote(shared.versions.get(NAME, number))
    catalog = shared.services.catalog
    keys = [
        ItemKey(items.BASE_MODELS, MODEL),
        ItemKey(items.DATASETS, DATASET),
        ItemKey(items.LOCAL_MODELS, f"{NAME}-v1"),
        ItemKey(items.LOCAL_MODELS, f"{NAME}-v2"),
    ]
    whole = {key: catalog.get(key) for key in keys}
    killed = 0
    for step in range(2, 100, 5):
        for key in keys:
            Path(catalog.href(key)).write_text("{")
        process = child(shared, "repair", step)
        _, told = process.communicate(timeout=60)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, told
        killed += 1
        # Whoever reads next sees each item damaged or whole, and none absent.
        scans = [catalog.scan(name) for name in items.COLLECTIONS]
        seen = {ItemKey(item["collection"], item["id"]) for scan in scans for item in scan.items}
        assert seen | {one.key for scan in scans for one in scan.damaged} == set(keys)
        repair(shared.services, report(shared.services))
        assert report(shared.services) == []
        for key in keys:
            after, before = catalog.get(key), whole[key]
            assert after is not None
            assert before is not None
            for stamp in ("created", "updated"):
                after["properties"][stamp] = before["properties"][stamp]
            assert after == before
    assert killed >= 5, "in each of the writes that this repair makes"

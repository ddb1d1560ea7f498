"""Where artifacts are: addresses of former times, and files on their way between machines."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fair_dagster.domain import items
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.flows.finetunes import allocations
from fair_dagster.flows.publication.places import is_there, settle
from fair_dagster.flows.reconciliation import unused
from fair_dagster.flows.reconciliation.artifacts import artifact_findings
from fair_dagster.flows.reconciliation.report import no_progress
from fair_dagster.flows.services import Services
from fair_dagster.settings import Settings

PREFIX = "datasets/town/v1-12345678"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "labels.geojson"
    path.write_bytes(b"labels")
    return path


def _services(tmp_path: Path, base: str = "") -> Services:
    return Services(Settings(home=tmp_path / "home", artifacts_url=base))


def test_an_artifact_under_a_former_base_url_is_found_and_named_anew(tmp_path: Path, source: Path) -> None:
    before, now = _services(tmp_path, "https://a.example.org"), _services(tmp_path, "https://b.example.org")
    artifact = before.artifacts.publish(source, f"{PREFIX}/labels.geojson")
    item: Item = {
        "id": "town-v1",
        "collection": items.DATASETS,
        "properties": {"version": "1", "created": datetime.now(UTC).isoformat(), items.UID: "12345678"},
        "assets": {"labels": artifact.fields()},
    }

    found = artifact_findings(
        now.artifacts, now.settings, [item], items.COLLECTIONS, checksums=True, progress=no_progress
    )

    assert [finding.kind for finding in found] == ["misplaced artifact"]
    assert is_there(now.artifacts, artifact)
    assert (
        settle(now.artifacts, now.settings.artifacts_path, artifact, PREFIX).href
        == f"https://b.example.org/{PREFIX}/labels.geojson"
    )


def test_what_is_not_in_the_store_stays_under_the_address_of_another(tmp_path: Path, source: Path) -> None:
    elsewhere, here = _services(tmp_path / "other", "https://a.example.org"), _services(tmp_path)
    artifact = elsewhere.artifacts.publish(source, f"{PREFIX}/labels.geojson")

    assert not is_there(here.artifacts, artifact)
    assert settle(here.artifacts, here.settings.artifacts_path, artifact, PREFIX) == artifact


def test_files_between_machines_that_nobody_waits_for_are_found_and_thrown_away(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = _services(tmp_path)
    for key in ("predictions/1/images", "trainings/town-v1-12345678/training.yaml"):
        services.artifacts.publish(source, key)
    none: dict[str, list[VersionRecord]] = {}
    assert unused.parcel_findings(services.artifacts, items.COLLECTIONS, none) == []
    monkeypatch.setattr(unused, "UNFINISHED_AFTER", -1.0)

    unread = unused.parcel_findings(services.artifacts, items.COLLECTIONS, None)
    found = unused.parcel_findings(services.artifacts, items.COLLECTIONS, none)

    assert [finding.target for finding in unread] == ["predictions/1"]
    assert [finding.target for finding in found] == ["predictions/1", "trainings/town-v1-12345678"]
    for finding in found:
        unused.discard(services.artifacts, finding)
    assert unused.parcel_findings(services.artifacts, items.COLLECTIONS, none) == []


def test_a_version_that_is_forgotten_leaves_nothing_for_other_machines(tmp_path: Path, source: Path) -> None:
    services = _services(tmp_path)
    key = "trainings/town-v1-12345678/training.yaml"
    services.artifacts.publish(source, key)

    allocations.forget(services.artifacts, services.settings, "town-v1", "12345678-aaaa")

    assert services.artifacts.size(key) is None

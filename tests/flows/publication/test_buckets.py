"""An installation whose artifacts are in a bucket of a real S3 server: every flow that touches them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
import yaml

from fair_dagster.domain import items
from fair_dagster.domain.errors import RefusedError, StorageError
from fair_dagster.domain.items.stac import Item
from fair_dagster.flows import predictions, training_files
from fair_dagster.flows.fetching import href_problems
from fair_dagster.flows.finetunes import training
from fair_dagster.flows.publication import families
from fair_dagster.flows.reconciliation import unused
from fair_dagster.flows.reconciliation.repair import repair
from fair_dagster.flows.reconciliation.report import DriftRequest, report
from fair_dagster.flows.services import Services
from fair_dagster.pipelines.filenames import PREVIEW_FILE
from fair_dagster.pipelines.zenml.model_versions import ModelVersions
from fair_dagster.settings import Settings
from tests.installations import DATASET, MODEL, Installation

BASE = "https://models.example.org/public"


@pytest.fixture
def on_bucket(
    s3_server: Any, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Installation], Installation]:
    """The same installation with its artifacts in a fresh bucket."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)

    def moved(before: Installation, **given: Any) -> Installation:
        values = {"artifacts": f"s3://{s3_bucket}/a", "s3_endpoint": s3_server.endpoint, "s3_path_style": True} | given
        services = Services(Settings(**(before.services.settings.plain() | values)))
        services.__dict__["versions"] = cast(ModelVersions, before.versions)
        return Installation(services, before.versions, before.folder, before.town)

    return moved


@pytest.fixture
def installation(bare: Installation, on_bucket: Callable[..., Installation]) -> Installation:
    """With base model and dataset, published to the bucket under a public address."""
    made = on_bucket(bare, artifacts_url=BASE)
    made.register_base_model()
    made.register_dataset()
    return made


def _hrefs(item: Item) -> list[str]:
    return [str(asset["href"]) for asset in item["assets"].values() if "file:checksum" in asset]


def _objects(s3_server: Any, s3_bucket: str) -> dict[str, Path]:
    root = s3_server.data / s3_bucket
    return {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}


def test_what_is_published_has_public_addresses_and_leaves_nothing_on_the_machine(
    installation: Installation, s3_server: Any, s3_bucket: str
) -> None:
    installation.promote(installation.trained())

    published = [item for name in items.COLLECTIONS for item in installation.services.catalog.items(name)]
    hrefs = [href for item in published for href in _hrefs(item)]
    assert len(hrefs) >= 8
    for href in hrefs:
        assert href.startswith(f"{BASE}/")
        key = f"a/{href.removeprefix(f'{BASE}/')}"
        assert any(quote(one) == key or quote(one).startswith(f"{key}/") for one in _objects(s3_server, s3_bucket))
    text = json.dumps(published)
    for secret in (s3_server.access_key, s3_server.secret_key, s3_server.endpoint):
        assert secret not in text
    assert not installation.services.settings.artifacts_path.exists()
    assert report(installation.services) == []
    assert report(installation.services, DriftRequest(checksums=False)) == []


def test_bytes_altered_in_the_bucket_are_found_and_put_back(
    installation: Installation, s3_server: Any, s3_bucket: str
) -> None:
    services = installation.services
    version = installation.trained()
    installation.promote(version)
    for key, path in _objects(s3_server, s3_bucket).items():
        if key.endswith(("/model.onnx", "/pipeline.py")) and "/." not in key:
            content = path.read_bytes()
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    for checksums in (True, False):
        found = {(finding.collection, finding.kind) for finding in report(services, DriftRequest(checksums=checksums))}
        assert (items.LOCAL_MODELS, "changed artifact") in found
        assert (items.BASE_MODELS, "changed artifact") in found
    assert [done for done in repair(services, report(services)) if done.failed] == []
    assert report(services) == []


def test_a_deleted_version_takes_its_objects_along(installation: Installation, s3_server: Any, s3_bucket: str) -> None:
    version = installation.trained()
    installation.promote(version)
    assert any("/local-models/" in key for key in _objects(s3_server, s3_bucket))

    families.recompute(installation.services, version.name, without=version.uuid)

    assert not any("/local-models/" in key for key in _objects(s3_server, s3_bucket))


def test_a_training_is_given_local_copies_and_its_configuration_keeps_the_addresses(installation: Installation) -> None:
    services = installation.services
    request = training.check(services, training.Ask(MODEL, DATASET, "town-buildings", {}))
    from fair_dagster.flows.finetunes import allocations

    version = allocations.allocate(services, request)
    path, config = training.write_config(services, version.id)
    command, _ = training.training_command(services, version.id)

    assert str(config["parameters"]["dataset_chips"]).startswith(BASE)
    local = Path(command[command.index("--config") + 1])
    assert local.parent == path.parent
    parameters = yaml.safe_load(local.read_text())["parameters"]
    assert sorted(one.name for one in Path(parameters["dataset_chips"]).iterdir()) == sorted(
        one.name for one in installation.town.train_chips.iterdir()
    )
    assert Path(parameters["dataset_labels"]).read_bytes() == installation.town.labels.read_bytes()
    assert Path(parameters["base_model_weights"]).is_file()


def test_a_rerun_reads_its_configuration_from_the_bucket(installation: Installation) -> None:
    services = installation.services
    version = installation.trained()
    installation.promote(version)
    training.config_path(services.settings, version.id, version.uuid).unlink()

    assert training.check_rerun(services, version.name, version.number).rerun_of == version.id


def test_a_version_that_another_machine_trained_can_be_run_again(installation: Installation) -> None:
    services = installation.services
    version = installation.trained()
    path = training.config_path(services.settings, version.id, version.uuid)
    training_files.leave_training(services.artifacts, services.settings, version.id, version.uuid)
    kept = path.read_bytes()
    path.unlink()

    assert training.check_rerun(services, version.name, version.number).rerun_of == version.id
    assert training.kept_config(services, version.id, version.uuid) == kept


def test_what_the_last_training_left_is_published_and_not_what_an_attempt_here_did(installation: Installation) -> None:
    services = installation.services
    version = installation.trained()
    picture = training.config_path(services.settings, version.id, version.uuid).with_name(PREVIEW_FILE)
    picture.write_bytes(b"of the other machine")
    training_files.leave_training(services.artifacts, services.settings, version.id, version.uuid)
    picture.write_bytes(b"of the attempt here")
    training_files.fetch_training(services.artifacts, services.settings, version.id, version.uuid)
    assert picture.read_bytes() == b"of the other machine"


def test_a_repair_takes_configuration_and_picture_from_what_another_machine_has_left(
    installation: Installation, s3_server: Any, s3_bucket: str
) -> None:
    services = installation.services
    version = installation.trained()
    folder = training.config_path(services.settings, version.id, version.uuid).parent
    (folder / PREVIEW_FILE).write_bytes(b"picture")
    training_files.leave_training(services.artifacts, services.settings, version.id, version.uuid)
    installation.promote(version)
    shutil.rmtree(folder)
    lost = [key for key in _objects(s3_server, s3_bucket) if "/local-models/" in key and "/." not in key]
    lost = [key for key in lost if key.endswith(("/training.yaml", f"/{PREVIEW_FILE}"))]
    for key in lost:
        s3_server.client().delete_object(Bucket=s3_bucket, Key=key)

    findings = report(services)
    assert [finding.kind for finding in findings] == ["missing artifact"] * 2
    assert [done for done in repair(services, findings) if done.failed] == []
    assert report(services) == []
    assert set(lost) <= set(_objects(s3_server, s3_bucket))


def test_a_prediction_is_given_a_local_copy_of_the_published_model(installation: Installation, tmp_path: Path) -> None:
    services = installation.services
    installation.promote(installation.trained())
    prepared = predictions.prepare(
        services, "town-buildings", installation.town.predict_chips, {}, tmp_path / "o.geojson"
    )

    local = predictions.with_local_model(services, prepared)

    config = yaml.safe_load(local.config_path.read_text())
    assert Path(config["model_uri"]).read_bytes().startswith(b"onnx_model of")
    assert yaml.safe_load(prepared.config_path.read_text())["model_uri"].startswith(BASE)


def test_a_model_that_is_gone_from_the_bucket_is_told_before_the_prediction(
    installation: Installation, s3_server: Any, s3_bucket: str
) -> None:
    installation.promote(installation.trained())
    for key in _objects(s3_server, s3_bucket):
        if key.endswith("/model.onnx"):
            s3_server.client().delete_object(Bucket=s3_bucket, Key=key)
    with pytest.raises(RefusedError, match="its ONNX model is gone"):
        predictions.prepare(installation.services, "town-buildings", installation.town.predict_chips, {}, None)


def test_an_object_that_is_gone_from_another_bucket_is_told_before_anything_is_begun(
    installation: Installation, s3_server: Any, s3_bucket: str
) -> None:
    services, address = installation.services, f"s3://{s3_bucket}/elsewhere/w.bin"
    assert href_problems(services, address, "the weights") == [f"the weights is gone: {address} is not there"]
    s3_server.client().put_object(Bucket=s3_bucket, Key="elsewhere/w.bin", Body=b"weights")
    assert href_problems(services, address, "the weights") == []
    with pytest.raises(StorageError, match="has no bucket 'no-such-bucket'"):
        href_problems(services, "s3://no-such-bucket/w.bin", "the weights")


def test_what_was_published_to_a_folder_before_is_found_and_moved(
    bare: Installation, on_bucket: Callable[..., Installation]
) -> None:
    bare.register_base_model()
    bare.register_dataset()
    version = bare.trained()
    bare.promote(version)

    moved = on_bucket(bare)
    findings = report(moved.services)
    assert {finding.kind for finding in findings} == {"misplaced artifact"}
    assert not any(finding.is_error for finding in findings)
    assert {finding.collection for finding in findings} == set(items.COLLECTIONS)
    training.check(moved.services, training.Ask(MODEL, DATASET, "other", {}))

    assert [done for done in repair(moved.services, findings) if done.failed] == []

    assert report(moved.services) == []
    published = [item for name in items.COLLECTIONS for item in moved.services.catalog.items(name)]
    assert all(href.startswith("s3://") for item in published for href in _hrefs(item))
    # What a repair restores base models and datasets from came along.
    store = moved.services.artifacts
    for collection in (items.BASE_MODELS, items.DATASETS):
        for slug in store.prefixes(collection):
            assert all(store.read(f"{prefix}/.release.json") for prefix in store.prefixes(slug))


def test_the_upload_of_a_killed_process_is_found_and_thrown_away(
    installation: Installation, s3_server: Any, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "a/local-models/town/v1-12345678/model.onnx"
    s3_server.client().create_multipart_upload(Bucket=s3_bucket, Key=key)
    assert report(installation.services) == []

    monkeypatch.setattr(unused, "UNFINISHED_AFTER", 0.0)
    (finding,) = report(installation.services)
    assert (finding.kind, finding.repair) == ("unfinished artifact", "throw it away")
    repair(installation.services, [finding])
    assert report(installation.services) == []


def test_a_bucket_that_is_away_is_no_empty_one(
    installation: Installation, on_bucket: Callable[..., Installation], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fair_dagster.storage.s3 import client

    installation.promote(installation.trained())
    monkeypatch.setattr(client, "ATTEMPTS", 1)
    away = on_bucket(installation, artifacts_url=BASE, s3_endpoint="http://127.0.0.1:9")

    told: list[str] = []
    findings = report(away.services, progress=lambda done, total, what: told.append(what))

    assert {finding.kind for finding in findings} == {"not checked"}
    # Somebody waits before it.
    assert told[:2] == ["the catalog", "the artifact store"]
    assert [done for done in repair(away.services, findings) if not done.failed] == []

"""Models that arrive from a real registry: opened, predicted with, registered; and strangers' items that lie."""

import dataclasses
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fair_dagster.domain import items
from fair_dagster.domain.errors import NotFoundError, RefusedError, StorageError
from fair_dagster.flows import predictions
from fair_dagster.flows.finetunes import training
from fair_dagster.flows.reconciliation import repair, report
from fair_dagster.flows.registries import arrivals
from fair_dagster.flows.registries import models as oci_models
from fair_dagster.flows.registries.artifacts import ITEM_TITLE, push_item
from fair_dagster.flows.registries.publication import push_version
from fair_dagster.flows.services import Services
from fair_dagster.oci.metadata import ModelMetadata
from fair_dagster.oci.pulling import pull
from fair_dagster.oci.pushing import Part, push
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.registries import Registries
from fair_dagster.oci.trust.keys import load_signing_key
from fair_dagster.oci.trust.signing import sign
from fair_dagster.pipelines.zenml.model_versions import ModelVersions
from fair_dagster.settings import Settings
from tests.flows.conftest import MODEL, NAME, Installation
from tests.flows.fakes import FakeVersions
from tests.services.servers import RegistryServer

Change = Callable[[dict[str, Any]], object]


@dataclasses.dataclass(frozen=True)
class Exchange:
    """Who pushes, who takes, and a tag between them."""

    sender: Installation
    taker: Services
    place: Reference

    def push(self, name: str = NAME) -> Reference:
        return push_item(self.sender.services, name, self.place).pinned

    def push_changed(self, folder: Path, change: Change, name: str = NAME) -> Reference:
        """Push the same files with another item."""
        first = self.push(name)
        pull(self.taker.registries, first, folder)
        item = json.loads((folder / ITEM_TITLE).read_bytes())
        change(item)
        (folder / ITEM_TITLE).write_text(json.dumps(item))
        files = [path for path in sorted(folder.iterdir()) if path.is_file() and "omlmd" not in path.name]
        parts = [Part(path, path.name) for path in files]
        return push(self.taker.registries, self.place, parts, ModelMetadata("changed"), form="fair").pinned


@pytest.fixture
def exchange(
    installation: Installation, docker_registry: RegistryServer, tmp_path: Path, schema_cache: Path
) -> Exchange:
    trusting = {"registries": (docker_registry.host,), "offline": False}
    sender = Services(installation.services.settings.model_copy(update=trusting))
    sender.__dict__["versions"] = cast(ModelVersions, installation.versions)
    models = installation.services.settings.models
    settings = Settings(home=tmp_path / "taker", models=models, schema_cache=schema_cache, catalog="", oci_image="none")
    taker = Services(settings.model_copy(update=trusting))
    taker.__dict__["versions"] = cast(ModelVersions, FakeVersions(tmp_path / "other"))
    place = Reference.parse(f"{docker_registry.host}/{uuid4().hex[:8]}/{NAME}:v1")
    return Exchange(dataclasses.replace(installation, services=sender), taker, place)


@pytest.fixture
def elliptic_key(tmp_path: Path) -> tuple[Path, Path]:
    """A private key and its public one, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    public_format = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, public_format))
    return private, public


@pytest.fixture
def promoted(exchange: Exchange) -> Exchange:
    exchange.sender.promote(exchange.sender.trained())
    return exchange


def test_a_pushed_model_becomes_a_base_model_of_another_catalog_once(promoted: Exchange) -> None:
    pinned = promoted.push()
    first = arrivals.register(promoted.taker, str(pinned))
    assert (first.item_id, bool(first.changes)) == (NAME, True)
    item = promoted.taker.catalog.family(items.BASE_MODELS, NAME)[0]
    assert item["assets"]["oci"]["href"] == f"oci://{pinned}"
    model = promoted.sender.active(items.LOCAL_MODELS, NAME)["assets"]["model"]
    assert item["assets"]["model"]["file:checksum"] == model["file:checksum"]
    assert Path(item["assets"]["model"]["href"]).is_relative_to(promoted.taker.settings.artifacts_path)
    assert not [name for name in item["properties"] if name.startswith(("fair:base_model", "fair:dataset"))]
    assert str(promoted.sender.services.settings.home) not in json.dumps(item)
    again = arrivals.register(promoted.taker, str(pinned))
    assert (again.item_id, again.changes) == (NAME, None)
    # Where the index was not asked first, the release is the same.
    assert not oci_models.register(promoted.taker, oci_models.open_model(promoted.taker, pinned))


def test_a_lost_file_of_it_is_fetched_again_by_a_repair(promoted: Exchange) -> None:
    arrivals.register(promoted.taker, str(promoted.push()))
    model = Path(promoted.taker.catalog.family(items.BASE_MODELS, NAME)[0]["assets"]["model"]["href"])
    content = model.read_bytes()
    model.write_bytes(b"damaged")
    ask = report.DriftRequest((items.BASE_MODELS,))
    findings = report.report(promoted.taker, ask)
    assert [(finding.item, finding.kind) for finding in findings] == [(NAME, "changed artifact")]
    assert [one.action for one in repair.repair(promoted.taker, findings)] == ["copied"]
    assert model.read_bytes() == content
    assert report.report(promoted.taker, ask) == []


def test_a_file_that_is_too_large_is_not_fetched(exchange: Exchange, tmp_path: Path) -> None:
    pinned = exchange.push(MODEL)
    small = Services(exchange.taker.settings.model_copy(update={"fetch_max_bytes": 10}))
    with pytest.raises(StorageError, match="FAIR_FETCH_MAX_BYTES"):
        predictions.prepare(small, f"oci://{pinned}", exchange.sender.town.train_chips, {}, tmp_path / "out.geojson")
    assert not list((small.settings.cache_path / "artifacts").glob("*/*.onnx"))


def test_what_this_catalog_pushed_itself_is_not_registered_again(promoted: Exchange) -> None:
    settings = promoted.sender.services.settings
    root = f"{promoted.place.registry}/{promoted.place.repository.rpartition('/')[0]}"
    own = Services(settings.model_copy(update={"oci_repository": root}))
    own.__dict__["versions"] = promoted.sender.services.versions
    pushed = push_version(own, f"{NAME}-v1").reference
    assert arrivals.register(own, str(pushed)).item_id == f"{NAME}-v1"
    assert own.catalog.family(items.BASE_MODELS, NAME) == []


def test_the_next_version_takes_over_and_another_repository_may_not(promoted: Exchange) -> None:
    arrivals.register(promoted.taker, str(promoted.push()))
    promoted.sender.promote(promoted.sender.trained())
    second = push_item(promoted.sender.services, NAME, promoted.place.with_tag("v2")).pinned
    arrivals.register(promoted.taker, str(second))
    family = promoted.taker.catalog.family(items.BASE_MODELS, NAME)
    assert {item["id"]: items.is_active(item) for item in family} == {NAME: True, f"{NAME}-v1": False}
    promoted.sender.promote(promoted.sender.trained())
    elsewhere = Reference.parse(f"{promoted.place.registry}/{uuid4().hex[:8]}/stranger:v3")
    third = push_item(promoted.sender.services, NAME, elsewhere).pinned
    with pytest.raises(RefusedError, match="was registered from"):
        arrivals.register(promoted.taker, str(third))


def test_it_predicts_and_is_not_finetuned_where_its_folder_is_not(promoted: Exchange) -> None:
    arrivals.register(promoted.taker, str(promoted.push()))
    with pytest.raises(RefusedError, match="was registered from an artifact"):
        training.check(promoted.taker, training.Ask(NAME, "town", "again", {}))


def test_a_base_model_with_a_folder_is_not_taken_over(exchange: Exchange) -> None:
    pinned = exchange.push(MODEL)
    with pytest.raises(RefusedError, match="with a folder here"):
        oci_models.register(exchange.sender.services, oci_models.open_model(exchange.sender.services, pinned))


def test_the_base_model_that_we_push_beside_its_finetunes_is_no_stranger(exchange: Exchange, tmp_path: Path) -> None:
    sender = exchange.sender.services
    assert arrivals.register(sender, str(exchange.push(MODEL))).item_id == MODEL
    assert [item["id"] for item in sender.catalog.family(items.BASE_MODELS, MODEL)] == [MODEL]

    def other_model(item: dict[str, Any]) -> None:
        (path,) = tmp_path.glob("changed/*.onnx")
        path.write_bytes(path.read_bytes() + b" ")
        for asset in item["assets"].values():
            asset.pop("file:checksum", None)
            asset.pop("file:size", None)

    with pytest.raises(RefusedError, match="with a folder here"):
        arrivals.register(sender, str(exchange.push_changed(tmp_path / "changed", other_model, MODEL)))


def absolute(item: dict[str, Any]) -> None:
    item["assets"]["model"]["href"] = "/etc/passwd"


def upwards(item: dict[str, Any]) -> None:
    item["assets"]["model"]["href"] = "../../etc/passwd"


def other_checksum(item: dict[str, Any]) -> None:
    item["assets"]["model"]["file:checksum"] = "1220" + "0" * 64


def no_models(item: dict[str, Any]) -> None:
    item["assets"] = {"thumbnail": {"href": "https://example.org/a.png", "roles": ["thumbnail"]}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (absolute, "'/etc/passwd' is not among the files"),
        (upwards, "is not among the files"),
        (other_checksum, "and its item says 1220000"),
        (no_models, "neither an ONNX model nor weights"),
        (lambda item: item.pop("assets"), "neither an ONNX model nor weights"),
        (lambda item: item.update(properties=[]), "must be an object with properties"),
        (lambda item: item["properties"].update({"mlm:name": "../up"}), "mlm:name"),
        (lambda item: item["properties"].pop("mlm:tasks"), "mlm:tasks"),
    ],
)
def test_an_item_that_lies_or_is_broken_is_refused_and_leaves_nothing(
    promoted: Exchange, tmp_path: Path, change: Change, said: str
) -> None:
    pinned = promoted.push_changed(tmp_path / "changed", change)
    with pytest.raises(RefusedError, match=said):
        arrivals.register(promoted.taker, str(pinned))
    assert promoted.taker.catalog.ids(items.BASE_MODELS) == []
    assert not (promoted.taker.settings.artifacts_path / items.BASE_MODELS / NAME).exists()


def test_addresses_of_the_senders_machine_do_not_arrive(promoted: Exchange, tmp_path: Path) -> None:
    def change(item: dict[str, Any]) -> None:
        item["assets"]["thumbnail"] = {"href": "file:///etc/passwd", "roles": ["thumbnail"]}
        item["assets"]["labels"] = {"href": "/etc/passwd", "roles": ["labels"]}

    pinned = promoted.push_changed(tmp_path / "changed", change)
    assert "passwd" not in json.dumps(oci_models.open_model(promoted.taker, pinned).item)


def test_an_artifact_without_an_item_is_not_registered_and_says_so(exchange: Exchange) -> None:
    parts = [Part(b"weights", "model.joblib")]
    pinned = push(exchange.taker.registries, exchange.place, parts, ModelMetadata("plain")).pinned
    registered = arrivals.register(exchange.taker, str(pinned))
    assert registered.item_id == ""
    assert "holds no stac-item.json" in registered.note


def test_unsigned_models_are_refused_where_signatures_are_asked_for(promoted: Exchange) -> None:
    pinned = promoted.push()
    strict = Services(promoted.taker.settings.model_copy(update={"require_signed": True}))
    with pytest.raises(RefusedError):
        arrivals.check(strict, str(pinned))
    with pytest.raises(RefusedError):
        oci_models.open_model(strict, pinned)
    assert arrivals.check(promoted.taker, str(pinned)).reference == pinned


@pytest.mark.parametrize("allowed", ["elsewhere.example", "here"])
def test_policy_is_asked_before_anything_is_made_of_a_model(
    promoted: Exchange, elliptic_key: tuple[Path, Path], allowed: str
) -> None:
    pinned = promoted.push()
    private, public = elliptic_key
    told = {"allowed_registries": (pinned.registry if allowed == "here" else allowed,), "trusted_keys": (public,)}
    strict = Services(promoted.taker.settings.model_copy(update=told))
    with pytest.raises(RefusedError):
        arrivals.check(strict, str(pinned))
    sign(strict.registries, pinned, load_signing_key(private, None))
    if allowed == "here":
        assert "is signed by" in arrivals.check(strict, str(pinned)).note
        assert oci_models.open_model(strict, promoted.place).reference == pinned
    else:
        with pytest.raises(RefusedError):
            arrivals.check(strict, str(pinned))
        with pytest.raises(RefusedError, match="is below no allowed registry"):
            oci_models.open_model(strict, promoted.place)


def test_an_artifact_that_is_gone_is_not_found(exchange: Exchange) -> None:
    with pytest.raises(NotFoundError):
        arrivals.check(exchange.taker, f"{exchange.place.at('sha256:' + '0' * 64)}")


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_a_prediction_uses_the_model_of_an_artifact_from_the_cache(exchange: Exchange, tmp_path: Path, by: str) -> None:
    pinned = exchange.push(MODEL)
    named = f"oci://{pinned if by == 'digest' else exchange.place}"
    chips = exchange.sender.town.train_chips
    prepared = predictions.prepare(exchange.taker, named, chips, {}, tmp_path / "out.geojson")
    config = yaml.safe_load(prepared.config_path.read_text())
    assert config["model_uri"].startswith(f"oci://{pinned}#"), "the configuration means the same tomorrow"
    # The run needs no registry any more.
    object.__setattr__(exchange.taker.registries, "client", None)
    local = predictions.with_local_model(exchange.taker, prepared)
    model = Path(yaml.safe_load(local.config_path.read_text())["model_uri"])
    assert model.is_relative_to(exchange.taker.settings.cache_path)
    if by == "digest":
        environment = {**os.environ, **exchange.taker.settings.environment()}
        subprocess.run(local.command, check=True, env=environment, capture_output=True)
        assert json.loads(prepared.output.read_text())["features"]


def test_a_damaged_copy_in_the_cache_is_fetched_again(exchange: Exchange, tmp_path: Path) -> None:
    pinned = exchange.push(MODEL)
    chips = exchange.sender.town.train_chips
    prepared = predictions.prepare(exchange.taker, f"oci://{pinned}", chips, {}, tmp_path / "out.geojson")
    first = yaml.safe_load(predictions.with_local_model(exchange.taker, prepared).config_path.read_text())
    Path(first["model_uri"]).write_bytes(b"damaged")
    again = yaml.safe_load(predictions.with_local_model(exchange.taker, prepared).config_path.read_text())
    assert Path(again["model_uri"]).read_bytes() != b"damaged"


def test_a_prediction_says_what_is_wrong_with_a_reference(exchange: Exchange, tmp_path: Path) -> None:
    chips = exchange.sender.town.train_chips
    kinds = {"oci://UP/x": RefusedError, f"oci://{exchange.place}": NotFoundError}
    for (named, kind), said in zip(kinds.items(), ("no name of a repository", "v1"), strict=True):
        with pytest.raises(kind, match=said):
            predictions.prepare(exchange.taker, named, chips, {}, tmp_path / "out.geojson")


def test_registries_of_the_settings_are_not_those_that_are_typed(exchange: Exchange, tmp_path: Path) -> None:
    """A person's registry is trusted for the one call; the run finds its copy in the cache."""
    pinned = exchange.push(MODEL)
    plain = Services(exchange.taker.settings.model_copy(update={"registries": ()}))
    typed = Registries((pinned.api_host,), lambda _: None)
    chips = exchange.sender.town.train_chips
    prepared = predictions.prepare(plain, f"oci://{pinned}", chips, {}, tmp_path / "out.geojson", registries=typed)
    assert predictions.with_local_model(plain, prepared).config_path.is_file()

"""FAIR_REQUIRE_SIGNED: what is published and used without a signature that counts, which is nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from fair_dagster.domain import items
from fair_dagster.domain.errors import NotFoundError, RefusedError, UnreachableError
from fair_dagster.domain.items.artifacts import sha256_of
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.requests import RUN_KEY
from fair_dagster.flows import predictions
from fair_dagster.flows.base_models import registration
from fair_dagster.flows.publication import families
from fair_dagster.flows.services import Services
from fair_dagster.flows.trust import acceptance
from fair_dagster.flows.trust.provenance import statement_of
from fair_dagster.oci.pushing import Part, Pushed, push
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.registries import Registries
from fair_dagster.oci.trust.signing import attest, sign
from fair_dagster.oci.trust.verifying import verify
from fair_dagster.pipelines.zenml.run_records import RunRecord
from fair_dagster.storage.local import describe
from tests.installations import MODEL, NAME, Installation
from tests.oci.fixtures import KeyPair, MakeKey


def required(services: Services, *trusted: Path) -> Services:
    """The same installation, where models have to be signed."""
    strict = Services(services.settings.model_copy(update={"require_signed": True, "trusted_keys": trusted}))
    strict.__dict__.update({name: value for name, value in services.__dict__.items() if name != "settings"})
    return strict


def sign_base_model(installation: Installation, key: KeyPair) -> None:
    item = installation.active(items.BASE_MODELS, MODEL)
    acceptance.sign_files(installation.services.artifacts, MODEL, acceptance.model_files(item)[0], key.signing)


@pytest.fixture
def strict(installation: Installation, key: KeyPair) -> Installation:
    """An installation that asks for signatures by ``key``."""
    return replace(installation, services=required(installation.services, key.public))


def test_an_unsigned_version_is_not_promoted_and_zenml_is_not_told(strict: Installation) -> None:
    version = strict.trained()
    with pytest.raises(RefusedError, match="no trusted key has signed"):
        strict.promote(version)
    assert strict.versions.get(NAME, version.number).stage == "none"
    assert strict.published() == {}


def test_a_signed_version_is_promoted_and_predicts(strict: Installation, key: KeyPair, tmp_path: Path) -> None:
    version = strict.trained()
    acceptance.sign_version(strict.services, version.id, key.signing)
    strict.promote(version)
    assert strict.published() == {version.id: True}
    item = strict.active(items.LOCAL_MODELS, NAME)
    vouched = acceptance.require_trusted(strict.services, item)
    assert vouched is not None
    assert vouched.key.name == "release"
    output = tmp_path / "found.geojson"
    assert predictions.check(strict.services, NAME, strict.town.train_chips, {}, output)["model"] == version.id


def test_what_another_key_signed_is_not_published(strict: Installation, make_key: MakeKey) -> None:
    version = strict.trained()
    acceptance.sign_version(strict.services, version.id, make_key("stranger").signing)
    with pytest.raises(RefusedError, match="signed by another key"):
        strict.promote(version)


def test_a_stage_set_past_us_publishes_nothing_unsigned(strict: Installation) -> None:
    """In ZenML's own dashboard; the stage sensor then recomputes the family."""
    version = strict.trained()
    strict.versions.set_stage(NAME, version.number, "production")
    with pytest.raises(RefusedError, match="no trusted key has signed"):
        families.recompute(strict.services, NAME)
    assert strict.published() == {}


def test_a_file_that_was_exchanged_after_it_was_signed_is_not_published(strict: Installation, key: KeyPair) -> None:
    version = strict.trained()
    acceptance.sign_version(strict.services, version.id, key.signing)
    (Path(str(version.onnx_uri)) / "model.onnx").write_bytes(b"another model")
    with pytest.raises(RefusedError, match="does not sign"):
        strict.promote(version)


def test_files_of_two_signed_models_make_no_signed_model(strict: Installation, key: KeyPair) -> None:
    first, second = strict.trained(), strict.trained()
    for version in (first, second):
        acceptance.sign_version(strict.services, version.id, key.signing)
    strict.promote(first)
    strict.promote(second)
    family = {item["id"]: item for item in strict.services.catalog.family(items.LOCAL_MODELS, NAME)}
    mixed = orjson.loads(orjson.dumps(family[first.id]))
    mixed["assets"]["checkpoint"] = family[second.id]["assets"]["checkpoint"]
    with pytest.raises(RefusedError, match="does not sign"):
        acceptance.require_trusted(strict.services, mixed)


def test_an_unsigned_model_does_not_predict(installation: Installation, key: KeyPair, tmp_path: Path) -> None:
    installation.promote(installation.trained())
    services = required(installation.services, key.public)
    with pytest.raises(RefusedError, match="no trusted key has signed"):
        predictions.check(services, NAME, installation.town.train_chips, {}, tmp_path / "found.geojson")


def test_without_the_setting_nothing_is_asked(installation: Installation) -> None:
    installation.promote(installation.trained())
    assert acceptance.require_trusted(installation.services, installation.active(items.LOCAL_MODELS, NAME)) is None


def test_without_trusted_keys_everything_is_refused(installation: Installation, key: KeyPair) -> None:
    version = installation.trained()
    acceptance.sign_version(installation.services, version.id, key.signing)
    with pytest.raises(RefusedError, match="FAIR_TRUSTED_KEYS"):
        families.set_stage(required(installation.services), NAME, version.number, "production")


def test_an_asset_without_a_checksum_is_not_trusted(strict: Installation, key: KeyPair) -> None:
    item = strict.active(items.BASE_MODELS, MODEL)
    sign_base_model(strict, key)
    assert acceptance.require_trusted(strict.services, item)
    onnx = items.onnx_asset(item) or items.weights_asset(item)
    assert onnx is not None
    del item["assets"][onnx[0]]["file:checksum"]
    with pytest.raises(RefusedError, match="file:checksum"):
        acceptance.require_trusted(strict.services, item)


def test_a_base_model_is_registered_when_its_weights_are_signed(strict: Installation, key: KeyPair) -> None:
    path = strict.folder / registration.ITEM_FILE
    item = orjson.loads(path.read_bytes())
    item["properties"]["version"] = "2"
    path.write_bytes(orjson.dumps(item))
    with pytest.raises(RefusedError, match="no trusted key has signed"):
        registration.register(strict.services, strict.folder)
    sign_base_model(strict, key)
    assert registration.register(strict.services, strict.folder)


PushVersion = Callable[[Item], Pushed]


@pytest.fixture
def push_version(registries: Registries, place: Reference) -> PushVersion:
    """Push the model files of an item, and name the artifact in it."""

    def make(item: Item) -> Pushed:
        files, _ = acceptance.model_files(item)
        parts = [Part(Path(item["assets"][one]["href"]), Path(item["assets"][one]["href"]).name) for one in files]
        done = push(registries, place, parts)
        item["assets"]["oci"] = {"href": f"oci://{done.pinned}"}
        return done

    return make


def with_registries(services: Services, registries: Registries) -> Services:
    services.__dict__["registries"] = registries
    return services


def test_a_signed_artifact_vouches_for_the_item_that_names_it(
    installation: Installation, key: KeyPair, registries: Registries, push_version: PushVersion
) -> None:
    installation.promote(installation.trained())
    item = installation.active(items.LOCAL_MODELS, NAME)
    services = with_registries(required(installation.services, key.public), registries)
    pushed = push_version(item)
    with pytest.raises(RefusedError, match="no signature of a trusted key"):
        acceptance.require_trusted(services, item)
    sign(registries, pushed.pinned, key.signing)
    vouched = acceptance.require_trusted(services, item)
    assert vouched is not None
    assert vouched.place == f"oci://{pushed.pinned}"
    found = acceptance.require_trusted(services, pushed.reference)
    assert found is not None
    assert found.pinned == pushed.pinned


def test_a_signed_artifact_of_another_model_vouches_for_nothing(
    installation: Installation, key: KeyPair, registries: Registries, push_version: PushVersion
) -> None:
    first, second = installation.trained(), installation.trained()
    installation.promote(first)
    item = installation.active(items.LOCAL_MODELS, NAME)
    pushed = push_version(item)
    sign(registries, pushed.pinned, key.signing)
    installation.promote(second)
    other = installation.active(items.LOCAL_MODELS, NAME)
    other["assets"]["oci"] = item["assets"]["oci"]
    services = with_registries(required(installation.services, key.public), registries)
    with pytest.raises(RefusedError, match="is signed, and holds another"):
        acceptance.require_trusted(services, other)


def test_a_registry_that_does_not_answer_is_no_missing_signature(
    installation: Installation, key: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator would sign again and again; and it is not trusted either."""
    from fair_dagster.oci.registry import connections

    monkeypatch.setattr(connections, "_pause", lambda *_: 0.0)
    installation.promote(installation.trained())
    item = installation.active(items.LOCAL_MODELS, NAME)
    item["assets"]["oci"] = {"href": f"oci://127.0.0.1:9/models/town@sha256:{'0' * 64}"}
    services = with_registries(
        required(installation.services, key.public), Registries(("127.0.0.1:9",), lambda _: None)
    )
    with pytest.raises(UnreachableError):
        acceptance.require_trusted(services, item)


class FakeRuns:
    """One ZenML run."""

    def show(self, run: str) -> RunRecord:
        return RunRecord(run, "town-1", "completed", "p", NAME, 1, datetime(2026, 1, 1, tzinfo=UTC), 90.0)


def test_provenance_tells_what_a_model_was_made_from(
    installation: Installation, key: KeyPair, registries: Registries, push_version: PushVersion
) -> None:
    from google.protobuf.json_format import ParseDict
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    version = installation.trained(epochs=3)
    installation.versions.log(version.uuid, {RUN_KEY: "4f5d"})
    installation.versions.keep(replace(installation.versions.get(NAME, 1), run_ids=("run-uuid",)))
    installation.promote(version)
    item = installation.active(items.LOCAL_MODELS, NAME)
    pushed = push_version(item)
    installation.services.__dict__["zenml_runs"] = FakeRuns()
    statement = statement_of(installation.services, registries, pushed.reference, version.id)

    # As the authors of the forms read them: an unknown field or a value of another kind is an error.
    Statement.copy_from_pb(ParseDict(statement, statement_pb2.Statement())).validate()
    ParseDict(statement["predicate"], provenance_pb2.Provenance())
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["overrides"] == {"epochs": 3}
    assert definition["externalParameters"]["base_model"] == MODEL
    assert definition["internalParameters"]["dagster_run"] == "4f5d"
    made_from = {one["name"]: one.get("digest") for one in definition["resolvedDependencies"]}
    base = installation.active(items.BASE_MODELS, MODEL)
    weights = cast(tuple[str, dict[str, Any]], items.weights_asset(base))[1]
    assert made_from["base model"] == {"fairTree": sha256_of(weights["file:checksum"])}
    assert {"chips", "labels", "configuration", "code"} <= made_from.keys()
    # Paths of this machine would tell strangers of it.
    assert str(installation.services.settings.home) not in str(statement)
    assert f"catalog://base-models/{MODEL}-v1#{items.weights_asset(base)[0]}" in str(statement)  # type: ignore[index]
    metadata = statement["predicate"]["runDetails"]["metadata"]
    assert metadata == {
        "invocationId": "zenml:run-uuid",
        "startedOn": "2026-01-01T00:00:00Z",
        "finishedOn": "2026-01-01T00:01:30Z",
    }

    attest(registries, pushed.pinned, key.signing, statement)
    found = verify(registries, pushed.reference, key.trusted)
    assert [one.statement for one in found.provenance] == [statement]
    with pytest.raises(RefusedError, match="no signature of a trusted key"):
        found.require(provenance=True)


def test_provenance_of_one_model_is_not_told_of_another(
    installation: Installation, registries: Registries, push_version: PushVersion
) -> None:
    first, second = installation.trained(), installation.trained()
    installation.promote(first)
    pushed = push_version(installation.active(items.LOCAL_MODELS, NAME))
    installation.promote(second)
    with pytest.raises(RefusedError, match="does not hold 'model'"):
        statement_of(installation.services, registries, pushed.reference, second.id)
    with pytest.raises(NotFoundError, match="--model"):
        statement_of(installation.services, registries, pushed.reference)


def test_a_checksum_by_another_function_is_none() -> None:
    assert sha256_of("1220" + "a" * 64) == "a" * 64
    assert [sha256_of(one) for one in ("1320" + "a" * 64, "1220" + "A" * 64, "1220", None, 5)] == [None] * 5


def test_a_described_file_is_signed_by_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights")
    assert sha256_of(describe(path).checksum) is not None

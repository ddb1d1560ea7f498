"""``oci sign``, ``verify``, ``attest`` and ``policy`` as people call them."""

import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from click.testing import CliRunner, Result

from fair_dagster.cli.root import root
from fair_dagster.cli.terminal.session import Session
from fair_dagster.fair import Fair
from fair_dagster.settings import Settings
from tests.oci.fixtures import KeyPair, MakeKey
from tests.services.servers import RegistryServer

Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    def run(*arguments: str, stdin: str | bytes | None = None, interactive: bool = False, **settings: object) -> Result:
        given = Settings(home=tmp_path / "home", offline=True, **settings)  # type: ignore[arg-type]
        session = Session(lambda: Fair(given), interactive=interactive, width=200)
        return CliRunner().invoke(root, list(arguments), obj=session, input=stdin)

    return run


@pytest.fixture
def place(docker_registry: RegistryServer, call: Call, tmp_path: Path) -> str:
    """A model in a registry."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights")
    where = f"{docker_registry.host}/cli/{uuid4().hex[:12]}:v1"
    pushed = call("oci", "push", where, str(path), "--name", "town")
    assert pushed.exit_code == 0, pushed.output
    return where


def test_a_model_is_signed_and_verified(call: Call, place: str, key: KeyPair) -> None:
    refused = call("oci", "verify", place, "--key", str(key.public))
    assert refused.exit_code == 1
    assert "no signature of a trusted key" in refused.stderr
    signed = call("oci", "sign", place, "--key", str(key.private))
    assert signed.exit_code == 0, signed.output
    assert "model.onnx" in signed.stdout
    verified = call("oci", "verify", place, "--key", str(key.public), "--content")
    assert verified.exit_code == 0, verified.output
    assert "release" in verified.stdout
    document = json.loads(call("oci", "verify", place, "--json", trusted_keys=(key.public,)).stdout)
    assert document["signatures"][0]["fingerprint"] == key.signing.fingerprint


def test_without_keys_nothing_is_verified(call: Call, place: str, key: KeyPair) -> None:
    call("oci", "sign", place, "--key", str(key.private))
    refused = call("oci", "verify", place, "--json")
    assert refused.exit_code == 1
    assert "FAIR_TRUSTED_KEYS" in json.loads(refused.stdout)["problems"][0]


def test_the_password_of_a_key_is_asked_for_or_kept_in_a_setting(call: Call, place: str, make_key: MakeKey) -> None:
    locked = make_key("locked", password="open sesame")
    arguments = ("oci", "sign", place, "--key", str(locked.private))
    assert call(*arguments, stdin="open sesame\n", interactive=True).exit_code == 0
    assert call(*arguments, key_password="open sesame").exit_code == 0
    alone = call(*arguments)
    assert alone.exit_code == 1
    assert "FAIR_KEY_PASSWORD" in alone.stderr
    wrong = call(*arguments, key_password="a guess")
    assert wrong.exit_code == 1
    assert "a guess" not in wrong.output


def test_files_are_signed_without_a_registry(call: Call, key: KeyPair, tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"weights")
    signed = json.loads(call("oci", "sign", "--file", str(path), "--key", str(key.private), "--json").stdout)
    (place,) = signed["signatures"]
    assert Path(place).is_file()
    assert list(signed["files"]) == ["weights.bin"]


@pytest.mark.parametrize("arguments", [(), ("registry.example/a:v1", "--version", "town-v1")])
def test_one_thing_is_signed_at_a_time(call: Call, key: KeyPair, arguments: tuple[str, ...]) -> None:
    assert call("oci", "sign", *arguments, "--key", str(key.private)).exit_code == 2


def test_of_a_model_that_was_not_trained_here_nothing_is_attested(call: Call, place: str, key: KeyPair) -> None:
    refused = call("oci", "attest", place, "--key", str(key.private))
    assert refused.exit_code == 1
    assert "--model" in refused.stderr


def manifest(*storage: str) -> str:
    found = [
        {
            "kind": "InferenceService",
            "metadata": {"name": f"model-{number}"},
            "spec": {"predictor": {"model": {"storageUri": one}}},
        }
        for number, one in enumerate(storage)
    ]
    return yaml.safe_dump_all(found)


def test_a_manifest_is_judged_with_the_signatures_of_what_it_names(
    call: Call, place: str, key: KeyPair, tmp_path: Path
) -> None:
    digest = json.loads(call("oci", "show", place, "--json").stdout)["digest"]
    pinned = f"{place.removesuffix(':v1')}@{digest}"
    options = ("--registry", place.partition("/")[0], "--key", str(key.public))
    text = manifest(f"oci://{pinned}")
    unsigned = call("oci", "policy", "check", "-", *options, stdin=text)
    assert unsigned.exit_code == 1
    assert "is not signed by a trusted key" in unsigned.stdout
    assert "no signature of a trusted key" in unsigned.stderr
    call("oci", "sign", place, "--key", str(key.private))
    assert call("oci", "policy", "check", "-", *options, stdin=text).exit_code == 0
    both = call("oci", "policy", "check", "-", *options, "--json", stdin=manifest(f"oci://{pinned}", "s3://b/x"))
    document = json.loads(both.stdout)
    assert (both.exit_code, document["signed"], list(document["denied"])) == (1, [digest], ["InferenceService/model-1"])
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"fair_policy": {"registries": [place.partition("/")[0]]}}))
    told = call("oci", "policy", "check", "-", "--data", str(data), "--key", str(key.public), stdin=text)
    assert told.exit_code == 0, told.output
    allowed = call("oci", "policy", "check", "--artifact", place, *options)
    assert (allowed.exit_code, allowed.stdout) == (0, "allowed\n")
    elsewhere = call("oci", "policy", "check", "--artifact", place, "--key", str(key.public))
    assert elsewhere.exit_code == 1
    assert "is below no allowed registry" in elsewhere.stdout


def test_a_registry_that_does_not_answer_allows_nothing(
    call: Call, key: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fair_dagster.oci.registry import connections

    monkeypatch.setattr(connections, "_pause", lambda *_: 0.0)
    text = manifest(f"oci://127.0.0.1:9/m/x@sha256:{'a' * 64}")
    options = ("--registry", "127.0.0.1:9", "--key", str(key.public))
    judged = call("oci", "policy", "check", "-", *options, stdin=text)
    assert judged.exit_code == 1
    assert "127.0.0.1:9" in judged.stderr
    assert "allowed" not in judged.stdout


def test_all_that_is_wrong_with_the_sources_is_told(call: Call, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    judged = call("oci", "policy", "check", str(tmp_path / "empty.yaml"), str(tmp_path / "gone.yaml"), "-", stdin="[")
    assert judged.exit_code == 1
    for text in ("holds no resource", "gone.yaml cannot be read", "stdin is neither YAML nor JSON"):
        assert text in judged.stderr
    assert call("oci", "policy", "check").exit_code == 2


def test_a_policy_of_ones_own_is_asked_as_well(call: Call, tmp_path: Path) -> None:
    (tmp_path / "team.rego").write_text(
        'package team\n\nimport rego.v1\n\ndeny contains "has no owner" if not input.metadata.labels.owner\n'
    )
    (tmp_path / "data.yaml").write_text("fair_policy: {ignored_kinds: [ConfigMap]}\n")
    options = ("--policy", str(tmp_path / "team.rego"), "--data", str(tmp_path / "data.yaml"))
    judged = call("oci", "policy", "check", "-", *options, stdin="kind: ConfigMap\nmetadata: {name: c}\n")
    assert (judged.exit_code, judged.stdout) == (1, "ConfigMap/c is denied:\n  - has no owner\n")
    owned = "kind: ConfigMap\nmetadata: {name: c, labels: {owner: maps}}\n"
    assert call("oci", "policy", "check", "-", *options, stdin=owned).exit_code == 0


@pytest.mark.parametrize("name", ["kserve", "artifact"])
def test_a_policy_is_shown_as_other_tools_take_it(call: Call, name: str) -> None:
    assert f"package fair.{name}\n" in call("oci", "policy", "show", name).stdout
    taken = call("oci", "policy", "show", name, "--for", "gatekeeper", allowed_registries=("reg.example",))
    if name == "artifact":
        assert taken.exit_code == 2
        return
    kinds = [one["kind"] for one in yaml.safe_load_all(taken.stdout)]
    assert kinds == ["ConstraintTemplate", "FairSignedModels"]

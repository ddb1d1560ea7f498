"""The commands of ``oci`` on a real registry: what people read, what machines read, how failures end."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cli.conftest import Call
from tests.services.servers import RegistryServer


@pytest.fixture
def place(docker_registry: RegistryServer) -> str:
    return f"{docker_registry.host}/cli/{uuid4().hex[:12]}"


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights")
    return str(path)


def test_a_model_is_pushed_looked_at_and_pulled(call: Call, place: str, model: str, tmp_path: Path) -> None:
    pushed = call(
        "oci", "push", f"{place}:v1", model, "--name", "Mnist", "--set", "accuracy=0.9", "--annotation", "a=b"
    )
    assert pushed.exit_code == 0, pushed.output
    assert f"pushed {place}:v1" in pushed.stdout
    shown = call("oci", "show", f"{place}:v1")
    for text in ("Mnist", "accuracy=0.9", "model.onnx", "application/x-mlmodel", "sha256:"):
        assert text in shown.stdout
    pulled = call("oci", "pull", f"{place}:v1", "-o", str(tmp_path / "out"))
    assert pulled.exit_code == 0, pulled.output
    assert (tmp_path / "out" / "model.onnx").read_bytes() == b"weights"


def test_machines_get_documents(call: Call, place: str, model: str, tmp_path: Path) -> None:
    pushed = json.loads(call("oci", "push", f"{place}:v1", model, "--name", "m", "--json").stdout)
    assert pushed["reused"] == 0
    assert pushed["pinned"] == f"{place}@{pushed['digest']}"
    shown = json.loads(call("oci", "show", pushed["pinned"], "--json").stdout)
    assert shown["digest"] == pushed["digest"]
    assert shown["metadata"]["name"] == "m"
    assert shown["files"][0]["title"] == "model.onnx"
    pulled = json.loads(call("oci", "pull", f"{place}:v1", "-o", str(tmp_path / "out"), "--json").stdout)
    assert (pulled["digest"], pulled["kept"]) == (pushed["digest"], [])


def test_metadata_comes_from_a_file_and_options_go_before_it(call: Call, place: str, tmp_path: Path) -> None:
    document = {"name": "old", "author": "Jo", "customProperties": {"accuracy": 0.1, "kept": True}}
    arguments = ("--metadata", "-", "--name", "new", "--set", "accuracy=0.9", "--uri", "s3://bucket/model")
    pushed = call("oci", "push", f"{place}:v1", *arguments, stdin=json.dumps(document))
    assert pushed.exit_code == 0, pushed.output
    metadata = json.loads(call("oci", "show", f"{place}:v1", "--json").stdout)["metadata"]
    assert (metadata["name"], metadata["author"], metadata["uri"]) == ("new", "Jo", "s3://bucket/model")
    assert metadata["customProperties"] == {"accuracy": 0.9, "kept": True}


def test_lists_of_a_repository_of_a_registry_and_of_referrers_differ(call: Call, place: str, model: str) -> None:
    call("oci", "push", f"{place}:v1", model, "--name", "one", "--annotation", "stage=prod")
    call("oci", "push", f"{place}:v2", model, "--name", "two", "--artifact-type", "application/x-two")
    refers = call(
        "oci", "push", f"{place}:sig", model, "--artifact-type", "application/x-sig", "--subject", f"{place}:v1"
    )
    assert refers.exit_code == 0, refers.output
    listed = call("oci", "list", place)
    assert [line.split()[0] for line in listed.stdout.splitlines()[2:]] == ["sig", "v1", "v2"]
    by_type = json.loads(call("oci", "list", place, "--artifact-type", "application/x-two", "--json").stdout)
    assert [one["reference"] for one in by_type["artifacts"]] == [f"{place}:v2"]
    by_annotation = json.loads(call("oci", "list", place, "--annotation", "stage=prod", "--json").stdout)
    assert [one["reference"] for one in by_annotation["artifacts"]] == [f"{place}:v1"]
    host, _, repository = place.partition("/")
    assert place in call("oci", "list", host).stdout
    assert repository in json.loads(call("oci", "list", host, "--json").stdout)["repositories"]
    (found,) = json.loads(call("oci", "referrers", f"{place}:v1", "--json").stdout)["referrers"]
    assert found["artifactType"] == "application/x-sig"
    assert "application/x-sig" in call("oci", "referrers", f"{place}:v1").stdout
    assert "nothing refers to" in call("oci", "referrers", f"{place}:v2").stderr
    assert "none of them matches" in call("oci", "referrers", f"{place}:v1", "--artifact-type", "x").stderr


def test_a_copy_and_its_deletion(call: Call, place: str, model: str) -> None:
    call("oci", "push", f"{place}:v1", model, "--name", "m")
    copied = call("oci", "copy", f"{place}:v1", f"{place}-copy:v9")
    assert f"copied {place}:v1 to {place}-copy:v9" in copied.stdout
    assert call("oci", "delete", f"{place}-copy:v9").exit_code == 2
    assert call("oci", "delete", f"{place}-copy:v9", interactive=True, stdin="n\n").exit_code == 1
    deleted = call("oci", "delete", f"{place}-copy:v9", "--yes")
    assert "deleted tag v9" in deleted.stdout
    gone = call("oci", "show", f"{place}-copy:v9", "--json")
    assert gone.exit_code == 1
    assert "was not found" in json.loads(gone.stdout)["error"]


def test_a_login_lets_the_next_command_in(
    call: Call, protected_registry: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    host = protected_registry.host
    refused = call("oci", "push", f"{host}/cli/m:v1", model, "--name", "m")
    assert f"`fair-dagster oci login {host}`" in refused.stderr
    arguments = ("oci", "login", host, "-u", protected_registry.username, "--password-stdin")
    assert call(*arguments, stdin="wrong\n").exit_code == 1
    logged_in = call(*arguments, stdin=f"{protected_registry.password}\n")
    assert f"is logged in to {host}" in logged_in.stdout
    assert protected_registry.password not in logged_in.output
    assert call("oci", "push", f"{host}/cli/m:v1", model, "--name", "m").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("push", "{place}:v1"), "no uri that says where the model is"),
        (("push", "{place}:v1", "no-such-file"), "no-such-file is not there"),
        (("push", "UPPER:v1", "x"), "is no name of a repository"),
        (("push", "{place}:v1", "--item", "x", "--name", "y"), "give neither"),
        (("list", "ramp"), "names no registry"),
        (("show", "127.0.0.1:1/a:v1"), "registry 127.0.0.1:1 cannot be asked for 127.0.0.1:1/a:v1"),
        (("push", "{place}:v1", "--annotation", "x"), "not of the form key=value"),
        (("login", "registry.example.org"), "nobody can be asked here"),
    ],
)
def test_what_cannot_be_done_is_told(call: Call, place: str, arguments: tuple[str, ...], words: str) -> None:
    done = call("oci", *(one.format(place=place) for one in arguments))
    assert done.exit_code in {1, 2}
    assert words in done.stderr
    assert "Traceback" not in done.output

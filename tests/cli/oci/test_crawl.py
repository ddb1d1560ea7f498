"""``oci crawl`` and ``oci image`` on a real registry: what people read, what machines read, how failures end."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fair_dagster.cli.root import root
from fair_dagster.cli.terminal.session import Session
from fair_dagster.fair import Fair
from fair_dagster.settings import Settings
from tests.cli.conftest import Call
from tests.services.servers import RegistryServer


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """Call ``fair-dagster`` with a home of its own."""

    def run(*arguments: str) -> Result:
        session = Session(lambda: Fair(Settings(home=tmp_path / "home")), interactive=False, width=200)
        return CliRunner().invoke(root, list(arguments), obj=session)

    return run


@pytest.fixture
def place(docker_registry: RegistryServer, call: Call, tmp_path: Path) -> str:
    """A repository of three models."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights")
    place = f"{docker_registry.host}/cli/{uuid4().hex[:12]}"
    for tag, accuracy in (("v1", 0.8), ("v2", 0.95), ("v3", 0.9)):
        done = call(
            "oci", "push", f"{place}:{tag}", str(path), "--name", f"model {tag}", "--set", f"accuracy={accuracy}"
        )
        assert done.exit_code == 0, done.output
    return place


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_repository_is_asked_for_what_is_better_than_a_value(call: Call, place: str) -> None:
    done = call("oci", "crawl", place, "--filter", "customProperties.accuracy >= 0.9")
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [(row[0], row[3]) for row in rows] == [(f"{place}:v2", "0.95"), (f"{place}:v3", "0.9")]
    assert "customProperties.accuracy" in done.stdout.splitlines()[0]


def test_machines_get_a_line_for_each_artifact(call: Call, place: str) -> None:
    found = lines(call("oci", "crawl", place, "--sort", "-customProperties.accuracy", "--limit", "2", "--json").stdout)
    assert [one["tag"] for one in found] == ["v2", "v3"]
    assert found[0]["metadata"]["customProperties"] == {"accuracy": 0.95}
    assert found[0]["digest"].startswith("sha256:")
    assert len(lines(call("oci", "crawl", place, "--limit", "2", "--json").stdout)) == 2


def test_the_best_is_one(call: Call, place: str) -> None:
    (best,) = lines(call("oci", "crawl", place, "--max", "customProperties.accuracy", "--json").stdout)
    (worst,) = lines(call("oci", "crawl", place, "--min", "customProperties.accuracy", "--json").stdout)
    assert (best["tag"], worst["tag"]) == ("v2", "v1")
    nothing = call("oci", "crawl", place, "--max", "customProperties.acuracy")
    assert "none of 3 artifacts fits" in nothing.stderr
    assert nothing.stdout == ""
    assert "no artifact has a field 'customProperties.acuracy'" in nothing.stderr


def test_what_cannot_be_read_is_told_beside_what_can(call: Call, place: str) -> None:
    done = call("oci", "crawl", f"{place}/none", place, "--json")
    assert done.exit_code == 1
    found = lines(done.stdout)
    assert [one["tag"] for one in found if "tag" in one] != []
    (failure,) = (one for one in found if "error" in one)
    assert failure["reference"] == f"{place}/none"
    assert f"{place}/none: " in done.stderr


def test_of_very_many_failures_people_are_told_a_few(call: Call, place: str) -> None:
    missing = [f"{place}/none{number}" for number in range(25)]
    done = call("oci", "crawl", *missing, missing[0])
    assert len([line for line in done.stderr.splitlines() if line.startswith(place)]) == 20
    assert "and 5 more" in done.stderr


def test_what_a_stranger_has_written_does_not_move_the_cursor(call: Call, place: str, tmp_path: Path) -> None:
    call("oci", "push", f"{place}:bad", str(tmp_path / "model.onnx"), "--name", "\x1b[2J\rgone")
    done = call("oci", "crawl", f"{place}:bad")
    assert "gone" in done.stdout
    assert "\x1b" not in done.stdout
    assert lines(call("oci", "crawl", f"{place}:bad", "--json").stdout)[0]["metadata"]["name"] == "\x1b[2J\rgone"


def test_an_answer_comes_from_what_was_kept(call: Call, place: str) -> None:
    before = call("oci", "crawl", "--from-index", place)
    assert "no artifacts" in before.stderr
    assert call("oci", "crawl", place, "--index").exit_code == 0
    assert call("oci", "delete", f"{place}:v2", "--yes").exit_code == 0
    (best,) = lines(call("oci", "crawl", "--from-index", "--max", "customProperties.accuracy", "--json").stdout)
    assert best["tag"] == "v2"
    assert call("oci", "crawl", place, "--index").exit_code == 0
    (best,) = lines(call("oci", "crawl", "--from-index", "--max", "customProperties.accuracy", "--json").stdout)
    assert best["tag"] == "v3"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "name a registry"),
        (("{place}", "--filter", "name == 'x'"), "write = for =="),
        (("{place}", "--max", "a", "--min", "b"), "each ask for one"),
        (("{place}", "--max", "a", "--limit", "2"), "each ask for one"),
        (("{place}", "--index", "--from-index"), "give one of them"),
        (("{place}", "--sort", "-"), "names no field"),
        (("nowhere",), "names no registry"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(
    call: Call, docker_registry: RegistryServer, arguments: tuple[str, ...], reason: str
) -> None:
    done = call("oci", "crawl", *(one.format(place=f"{docker_registry.host}/any") for one in arguments))
    assert done.exit_code != 0
    assert reason in done.output


def test_an_image_is_made_of_a_model(call: Call, place: str) -> None:
    done = call(
        "oci", "image", f"{place}:v1", "--kind", "data", "--platform", "linux/amd64", "--platform", "linux/arm64"
    )
    assert done.exit_code == 0, done.output
    assert f"built {place}:v1-data" in done.stdout
    assert "linux/arm64" in done.stdout
    again = json.loads(call("oci", "image", f"{place}:v1", "--kind", "data", "--json").stdout)
    assert again["model"].startswith(f"{place}@sha256:")
    (referrer, _) = json.loads(call("oci", "referrers", f"{place}:v1", "--json").stdout)["referrers"]
    assert referrer["annotations"]["vnd.fair-dagster.image.kind"] == "data"
    assert "hold" in call("oci", "image", f"{place}:v1", "--kind", "data", "--user", "7").output


def test_only_what_is_signed_becomes_an_image_where_the_settings_want_it(
    call: Call, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, info))
    monkeypatch.setenv("FAIR_REQUIRE_SIGNED", "true")
    monkeypatch.setenv("FAIR_TRUSTED_KEYS", json.dumps([str(public)]))
    refused = call("oci", "image", f"{place}:v1", "--kind", "data")
    assert refused.exit_code == 1
    assert "was refused" in refused.output
    assert call("oci", "show", f"{place}:v1-data").exit_code == 1
    signed = call("oci", "sign", f"{place}:v1", "--key", str(private))
    assert signed.exit_code == 0, signed.output
    done = call("oci", "image", f"{place}:v1", "--kind", "data")
    assert done.exit_code == 0, done.output

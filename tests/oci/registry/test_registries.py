"""Asking registries for digests: Debian's own, and fakes for what it does not do."""

import json
from pathlib import Path

import pytest

from fair_dagster.domain.errors import NotFoundError, ServiceError
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry import connections
from fair_dagster.oci.registry.credentials import Credentials
from fair_dagster.oci.registry.registries import Registries
from tests.oci.servers import Fake, push_image, remove_image
from tests.services.servers import RegistryServer

USER, PASSWORD = "reader", "s3cret"


def nobody(_registry: str) -> Credentials | None:
    return None


def reader(_registry: str) -> Credentials | None:
    return Credentials(USER, PASSWORD)


def ask(host: str, credentials: Credentials | None = None) -> str:
    registries = Registries((host,), lambda _: credentials)
    return registries.digest_of(Reference.parse(f"{host}/team/image:v1"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_pause", lambda *_: 0.0)


@pytest.mark.parametrize("index", [False, True])
def test_a_tag_is_resolved_to_what_was_pushed(docker_registry: RegistryServer, index: bool) -> None:
    digest = push_image(docker_registry.url, "team/pushed", "v1", "first", index=index)
    registries = Registries((docker_registry.host,), nobody)
    assert registries.digest_of(Reference.parse(f"{docker_registry.host}/team/pushed:v1")) == digest
    moved = push_image(docker_registry.url, "team/pushed", "v1", "second", index=index)
    assert moved != digest
    assert registries.digest_of(Reference.parse(f"{docker_registry.host}/team/pushed:v1")) == moved
    assert registries.digest_of(Reference.parse(f"{docker_registry.host}/team/pushed@{digest}")) == digest


def test_what_a_registry_does_not_have_is_not_found(docker_registry: RegistryServer) -> None:
    registries = Registries((docker_registry.host,), nobody)
    digest = push_image(docker_registry.url, "team/gone", "v1", "gone")
    remove_image(docker_registry.url, "team/gone", digest)
    for name in ("team/gone:v1", f"team/gone@{digest}", "team/never:v1"):
        with pytest.raises(NotFoundError, match="has no such image"):
            registries.digest_of(Reference.parse(f"{docker_registry.host}/{name}"))


def test_a_protected_registry_is_asked_with_the_credentials_of_docker(
    protected_registry: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, password = protected_registry.username, protected_registry.password
    digest = push_image(protected_registry.url, "team/closed", "v1", auth=(user, password))
    reference = Reference.parse(f"{protected_registry.host}/team/closed:v1")
    with pytest.raises(ServiceError, match=f"docker login {protected_registry.host}"):
        Registries((protected_registry.host,), nobody).digest_of(reference)
    with pytest.raises(ServiceError, match="does not let"):
        Registries((protected_registry.host,), lambda _: Credentials(user, "wrong")).digest_of(reference)

    auth = Credentials(user, password).basic.removeprefix("Basic ")
    (tmp_path / "config.json").write_text(json.dumps({"auths": {protected_registry.host: {"auth": auth}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    assert Registries((protected_registry.host,)).digest_of(reference) == digest


def test_private_addresses_are_asked_only_when_they_are_named(docker_registry: RegistryServer) -> None:
    reference = Reference.parse(f"{docker_registry.host}/team/image:v1")
    with pytest.raises(ServiceError, match="is not a public address: name it in FAIR_REGISTRIES"):
        Registries((), nobody).digest_of(reference)
    with pytest.raises(ServiceError, match="does not answer"):
        # A server without TLS, asked for TLS.
        Registries((f"https://{docker_registry.host}",), nobody).digest_of(reference)


def test_a_token_is_fetched_as_the_challenge_says_and_used_again(fake: Fake) -> None:
    host, script = fake()
    registries = Registries((host,), reader)
    reference = Reference.parse(f"{host}/team/image:v1")
    first = registries.digest_of(reference)
    assert first.startswith("sha256:")
    assert registries.digest_of(reference) == first
    assert script.seen == {"HEAD": 3, "token": 1}
    assert script.asked[0] == {"service": ["fake"], "scope": ["repository:team/image:pull,push"]}
    assert script.authorizations == [Credentials(USER, PASSWORD).basic]


def test_an_identity_token_is_exchanged(fake: Fake) -> None:
    host, script = fake(issued=(200, b'{"access_token": "good"}'))
    ask(host, Credentials(identity_token="identity"))
    (asked,) = script.asked
    assert asked["refresh_token"] == ["identity"]
    assert asked["grant_type"] == ["refresh_token"]
    assert script.authorizations == [""]


def test_a_token_that_has_ended_is_replaced(fake: Fake) -> None:
    host, script = fake()
    registries = Registries((host,), nobody)
    reference = Reference.parse(f"{host}/team/image:v1")
    registries.digest_of(reference)
    script.valid, script.issued = "newer", (200, b'{"token": "newer"}')
    registries.digest_of(reference)
    assert script.seen["token"] == 2


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ({"realm": "http://10.0.0.7/token"}, "only https is spoken"),
        ({"realm": "https://127.0.0.2/token"}, "127.0.0.2 is not a public address"),
        ({"realm": "https://user:pw@127.0.0.2/token"}, "is no address of a server"),
        ({"realm": "nowhere"}, "names no token service"),
        ({"issued": (401, b"")}, r"refuses \(401\)"),
        ({"issued": (500, b"")}, "answers 500"),
        ({"issued": (200, b"<html>")}, "answers with no token"),
        ({"issued": (200, b"[]")}, "answers with no token"),
        ({"issued": (200, b'{"token": "bad\\r\\nHost: x"}')}, "answers with no token"),
        ({"issued": (200, b'{"token": "old"}')}, "does not let .* be read \\(401"),
        ({"manifest": (403, "application/json"), "body": b'{"errors": [{"code": "DENIED", "message": "no"}]}'},
         r"\(403: no\): `fair-dagster oci login"),
        ({"manifest": (200, "text/html"), "digest": None, "body": b"<html>"}, "text/html, which is no manifest"),
        ({"manifest": (404, "text/html"), "digest": None, "body": b"<html>"}, "answers 404 and text/html"),
        ({"manifest": (500, "text/plain"), "body": b"oh"}, "answers 500"),
        ({"manifest": (307, "text/plain"), "body": b""}, "answers 307"),
        ({"busy": 99}, "429"),
        ({"digest": "sha256:nonsense"}, "arrived altered"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_told_with_its_cause(fake: Fake, script: dict[str, object], words: str) -> None:
    host, _ = fake(**script)
    with pytest.raises(ServiceError, match=words) as raised:
        ask(host, Credentials(USER, PASSWORD))
    assert PASSWORD not in str(raised.value)
    assert host in str(raised.value)


def test_only_a_registry_can_say_that_an_image_is_gone(fake: Fake) -> None:
    host, _ = fake(manifest=(404, "application/json"), digest=None, body=b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
    with pytest.raises(NotFoundError, match="has no such image"):
        ask(host)


def test_a_busy_registry_is_asked_again(fake: Fake) -> None:
    host, script = fake(busy=2)
    assert ask(host).startswith("sha256:")
    assert script.seen["HEAD"] == 4


def test_a_digest_that_a_registry_does_not_tell_is_counted(fake: Fake) -> None:
    told, _ = fake()
    silent, script = fake(digest=None)
    assert ask(silent) == ask(told)
    assert script.seen["GET"] == 1


def test_a_manifest_of_another_digest_than_the_asked_one_is_refused(fake: Fake) -> None:
    host, _ = fake()
    with pytest.raises(ServiceError, match=r"answers .* with sha256"):
        Registries((host,), nobody).digest_of(Reference.parse(f"{host}/team/image@sha256:{'a' * 64}"))


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(ServiceError, match=r"registry 127.0.0.1:1 cannot be asked for .*: .* does not answer"):
        ask("127.0.0.1:1")

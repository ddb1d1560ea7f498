"""Logging in: checked at the registry first, left where others find it, and never shown."""

import json
import stat
from pathlib import Path

import pytest

from fair_dagster.domain.errors import RefusedError, ServiceError
from fair_dagster.oci.registry.credentials import find_credentials
from fair_dagster.oci.registry.login import login
from tests.oci.servers import Fake
from tests.services.servers import RegistryServer

SECRET = "s3cr:et-ü"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"DOCKER_CONFIG": str(tmp_path / "docker")}


def test_a_login_is_found_again(protected_registry: RegistryServer, environment: dict[str, str]) -> None:
    host, user, password = protected_registry.host, protected_registry.username, protected_registry.password
    stored = Path(login(host, user, password, trusted=(host,), environment=environment))
    found = find_credentials(host, environment)
    assert found is not None
    assert (found.user, found.password) == (user, password)
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600


def test_what_else_is_in_the_file_stays(protected_registry: RegistryServer, environment: dict[str, str]) -> None:
    path = Path(environment["DOCKER_CONFIG"]) / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"auths": {"other": {"auth": "eDp5"}}, "psFormat": "x"}))
    host = protected_registry.host
    login(host, protected_registry.username, protected_registry.password, trusted=(host,), environment=environment)
    written = json.loads(path.read_text())
    assert written["psFormat"] == "x"
    assert set(written["auths"]) == {"other", host}


def test_a_wrong_password_writes_nothing(protected_registry: RegistryServer, environment: dict[str, str]) -> None:
    host = protected_registry.host
    with pytest.raises(RefusedError, match=r"does not take user and password \(401") as raised:
        login(host, "fair", SECRET, trusted=(host,), environment=environment)
    assert SECRET not in str(raised.value)
    assert not Path(environment["DOCKER_CONFIG"]).exists()


def test_a_token_service_that_refuses_is_a_wrong_password(fake: Fake, environment: dict[str, str]) -> None:
    host, _ = fake(issued=(401, b"{}"))
    with pytest.raises(RefusedError, match=r"refuses \(401\)"):
        login(host, "fair", SECRET, trusted=(host,), environment=environment)


def test_every_reason_is_named(environment: dict[str, str]) -> None:
    with pytest.raises(RefusedError) as raised:
        login("registry.example.org", "a:b", "", environment=environment)
    assert len(raised.value.problems) == 2


@pytest.mark.parametrize("content", ["{", "[]", '{"auths": []}'])
def test_a_file_of_another_form_is_left_alone(
    protected_registry: RegistryServer, environment: dict[str, str], content: str
) -> None:
    path = Path(environment["DOCKER_CONFIG"]) / "config.json"
    path.parent.mkdir()
    path.write_text(content)
    host = protected_registry.host
    with pytest.raises(ServiceError, match=r"config\.json.* mend the file"):
        login(host, protected_registry.username, protected_registry.password, trusted=(host,), environment=environment)
    assert path.read_text() == content


def test_a_credential_helper_keeps_what_it_is_for(
    protected_registry: RegistryServer, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-test"
    helper.write_text(f"#!/bin/sh\ncat > {tmp_path}/stored\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    path = Path(environment["DOCKER_CONFIG"]) / "config.json"
    path.parent.mkdir()
    path.write_text('{"credsStore": "test"}')
    host = protected_registry.host
    arguments = (host, protected_registry.username, protected_registry.password)
    assert login(*arguments, trusted=(host,), environment=environment) == "docker-credential-test"
    assert json.loads((tmp_path / "stored").read_text())["Username"] == protected_registry.username
    assert path.read_text() == '{"credsStore": "test"}'
    helper.write_text("#!/bin/sh\ncat; exit 1\n")
    with pytest.raises(ServiceError, match="does not store the credentials") as raised:
        login(*arguments, trusted=(host,), environment=environment)
    assert protected_registry.password not in str(raised.value)

"""Credentials of registries, as ``docker login`` and its helpers leave them."""

import base64
import json
import os
from pathlib import Path

import pytest

from fair_dagster.oci.registry.credentials import Credentials, find_credentials


def encoded(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    config = {
        "auths": {
            "ghcr.io": {"auth": encoded("mapper", "pass:word")},
            "https://index.docker.io/v1/": {"auth": encoded("hub", "p")},
            "https://old.example": {"username": "old", "password": "p"},
            "token.example": {"identitytoken": "id"},
            "broken.example": {"auth": "no base64!"},
            "empty.example": {},
            "helped.example": {},
        },
        "credHelpers": {"helped.example": "test", "evil.example": "../../bin/sh", "gone.example": "gone"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    helper = tmp_path / "docker-credential-test"
    helper.write_text('#!/bin/sh\nread host\necho "{\\"Username\\": \\"of-$host\\", \\"Secret\\": \\"s\\"}"\n')
    helper.chmod(0o755)
    return {"DOCKER_CONFIG": str(tmp_path)}


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ("ghcr.io", Credentials("mapper", "pass:word")),
        ("docker.io", Credentials("hub", "p")),
        ("old.example", Credentials("old", "p")),
        ("token.example", Credentials(identity_token="id")),
        ("broken.example", None),
        ("empty.example", None),
        ("unknown.example", None),
        ("helped.example", Credentials("of-helped.example", "s")),
        ("evil.example", None),
        ("gone.example", None),
    ],
)
def test_credentials_are_found_by_registry(
    environment: dict[str, str],
    registry: str,
    expected: Credentials | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert find_credentials(registry, environment) == expected


@pytest.mark.parametrize("content", ["", "[]", "null", '{"auths": []}', '{"auths": {"ghcr.io": 1}}'])
def test_a_file_that_says_nothing_gives_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "auth.json").write_text(content)
    assert find_credentials("ghcr.io", {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}) is None


def test_a_password_is_not_shown() -> None:
    shown = repr(Credentials("mapper", "s3cret", "identity"))
    assert "s3cret" not in shown
    assert "identity'" not in shown

"""The ZenML that belongs to a home, and others that must not be taken for it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

import pytest

from fair_dagster.domain.errors import ServiceError
from fair_dagster.pipelines.zenml import identity
from fair_dagster.pipelines.zenml.client import open_client
from fair_dagster.pipelines.zenml.identity import require_same_zenml
from fair_dagster.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    from zenml.client import Client

STORE, PROJECT = UUID(int=1), UUID(int=2)
OPEN = """
from fair_dagster.pipelines.client import open_client
from fair_dagster.settings import Settings
open_client(Settings())
"""


def client(store: UUID = STORE, project: UUID = PROJECT, url: str = "https://user:secret@zenml.example") -> "Client":
    made: Any = SimpleNamespace(
        zen_store=SimpleNamespace(get_deployment_id=lambda: store, url=url),
        active_project=SimpleNamespace(id=project, name=f"project-{project.int}"),
    )
    return cast("Client", made)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture(autouse=True)
def every_call_is_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "COMPARED", _Forgetful())


class _Forgetful(set[Path]):
    def add(self, element: Path) -> None:
        pass


def test_the_first_zenml_of_a_home_is_remembered_without_its_credentials(settings: Settings) -> None:
    require_same_zenml(settings, client())
    text = settings.zenml_identity_path.read_text()
    assert json.loads(text)["store"] == str(STORE)
    assert "secret" not in text
    require_same_zenml(settings, client(url="https://moved.example"))


@pytest.mark.parametrize("other", [client(store=UUID(int=3)), client(project=UUID(int=4))])
def test_another_database_or_project_is_refused_until_it_is_meant(settings: Settings, other: "Client") -> None:
    require_same_zenml(settings, client())
    for _ in range(2):
        with pytest.raises(ServiceError) as raised:
            require_same_zenml(settings, other)
    told = str(raised.value)
    assert str(identity.Identity.of(other)) in told
    assert str(identity.Identity.of(client())) in told
    assert "ZENML_STORE_URL" in told
    assert f"delete {settings.zenml_identity_path}" in told
    assert "secret" not in told

    settings.zenml_identity_path.unlink()
    require_same_zenml(settings, other)
    with pytest.raises(ServiceError, match="another ZenML"):
        require_same_zenml(settings, client())


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"store": "x"}'])
def test_what_cannot_be_read_is_not_a_home_that_remembers_nothing(settings: Settings, content: str) -> None:
    settings.home.mkdir()
    settings.zenml_identity_path.write_text(content)
    with pytest.raises(ServiceError, match="cannot be read"):
        require_same_zenml(settings, client())


def test_a_client_is_opened_only_for_the_zenml_of_its_home(zenml_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without ``ZENML_STORE_URL``, with a lost database or another active project saw an empty ZenML."""
    settings = Settings(home=zenml_home)
    opened = open_client(settings)
    assert settings.zenml_identity_path.is_file()
    open_client(settings)
    other = opened.create_project(f"other-{uuid4().hex[:8]}", "")
    monkeypatch.setenv("ZENML_ACTIVE_PROJECT_ID", str(other.id))
    with pytest.raises(ServiceError, match=f"project '{other.name}'"):
        open_client(settings)
    with pytest.raises(ServiceError, match=f"project '{other.name}'"):
        open_client(settings, patient=False)


def test_a_lost_database_is_not_replaced_by_an_empty_one_in_silence(zenml_home: Path, tmp_path: Path) -> None:
    settings = Settings(home=zenml_home)
    open_client(settings)
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(settings.zenml_identity_path, home)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ZENML_")}
    done = subprocess.run(
        [sys.executable, "-c", OPEN],
        cwd=PROJECT_ROOT,
        env=environment | {"FAIR_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "this is another ZenML" in done.stderr
    kept = Settings(home=home).zenml_identity_path
    assert kept.read_text() == settings.zenml_identity_path.read_text()

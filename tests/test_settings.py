"""Where base models come from: a folder of the user's, or checkouts of a branch."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from fair_dagster.catalog.opening import open_store
from fair_dagster.domain.errors import RefusedError
from fair_dagster.settings import PROJECT_ROOT, Settings


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAIR_MODELS", "FAIR_MODELS_REPO", "FAIR_HOME"):
        monkeypatch.delenv(name, raising=False)


def commit(home: Path, name: str) -> Path:
    models = home / "repository" / "commits" / name / "models"
    models.mkdir(parents=True)
    link = home / "repository" / "current"
    link.unlink(missing_ok=True)
    link.symlink_to(f"commits/{name}")
    return models


def test_without_a_repository_base_models_are_the_projects_own() -> None:
    assert Settings().models == PROJECT_ROOT / "models"


def test_with_one_they_are_those_of_the_checkout_that_is_current(tmp_path: Path) -> None:
    first = commit(tmp_path, "aaa")
    settings = Settings(home=tmp_path, models_repo="/srv/models")
    pinned = settings.pinned()
    assert settings.models.resolve() == pinned.models == first
    assert settings.follows_branch
    assert pinned.follows_branch
    second = commit(tmp_path, "bbb")
    assert settings.models.resolve() == second
    assert pinned.models == first


def test_before_the_first_checkout_there_are_none(tmp_path: Path) -> None:
    assert not Settings(home=tmp_path, models_repo="/srv/models").models.exists()


def test_a_child_process_follows_the_branch_or_keeps_the_commit_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = commit(tmp_path, "aaa")
    settings = Settings(home=tmp_path, models_repo="/srv/models")
    for name, value in settings.pinned().environment().items():
        monkeypatch.setenv(name, value)
    second = commit(tmp_path, "bbb")
    assert Settings().models.resolve() == first
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings().models.resolve() == second
    third = commit(tmp_path, "ccc")
    assert Settings(**Settings().plain()).models.resolve() == third


def test_a_folder_and_a_repository_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="both set"):
        Settings(home=tmp_path, models=tmp_path / "models", models_repo="/srv/models")


def test_a_folder_alone_is_named_to_every_child(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, models=tmp_path)
    assert settings.environment()["FAIR_MODELS"] == str(tmp_path)


@pytest.mark.parametrize(
    "remote", ["https://git.example/models.git", "git@git.example:fair/models.git", "ssh://git@git.example/models"]
)
def test_a_url_stays_as_it_is_and_a_path_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings(home=tmp_path, models_repo=remote).models_repo == remote
    assert Settings(home=tmp_path, models_repo="clone").models_repo == str(tmp_path / "clone")


URLS_WITH_PASSWORDS = [
    "https://user:s3cret@h.example/r.git",
    "https://s3cret@h.example/r.git",
    "https://user:a/s3cret@h.example/r.git",
    "https://user:p@s3cret@h.example/r.git",
    "ssh://user:s3cret@h.example/r.git",
]


@pytest.mark.parametrize("field", ["models_repo", "dagster_url", "catalog"])
@pytest.mark.parametrize("url", URLS_WITH_PASSWORDS)
def test_a_url_with_a_password_stays_in_the_environment_it_came_from(tmp_path: Path, field: str, url: str) -> None:
    settings = Settings(home=tmp_path, **{field: url})
    assert getattr(settings, field) == url
    assert "s3cret" not in str(settings.plain())
    assert "s3cret" not in str(settings.environment())


def test_what_is_wrong_with_settings_is_said_without_showing_them(tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(home=tmp_path, models=tmp_path, models_repo="https://user:s3cret@h.example/r.git")
    assert "both set" in str(refused.value)
    assert "s3cret" not in str(refused.value)
    with pytest.raises(ValidationError) as refused:
        Settings(home=tmp_path, sensor_interval="s3cret")  # type: ignore[arg-type]
    assert "sensor_interval" in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_a_catalog_that_is_no_folder_is_refused_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        open_store(Settings(home=tmp_path, catalog="https://user:s3cret@h.example/stac"))
    assert "h.example/stac" in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_trusted_keys_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are executed by processes in other folders, which would trust nobody."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAIR_TRUSTED_KEYS", '["release.pub"]')
    assert Settings().trusted_keys == (tmp_path / "release.pub",)


def test_registries_that_settings_name_are_trusted_and_what_is_said_of_them_counts() -> None:
    settings = Settings(
        oci_repository="oci://a.local:5000/fair",
        oci_watch=("b.local/x/*", "c.local:5000/y"),
        registries=("http://c.local:5000",),
    )
    assert settings.trusted_registries == ("a.local:5000", "b.local", "c.local:5000", "http://c.local:5000")
    assert Settings(registries=("d.local",)).trusted_registries == ("d.local",)

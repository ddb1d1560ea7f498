"""Checkouts of the branch that base models are contributed on: whole, harmless, and only of what may be read."""

import os
import time
from pathlib import Path

import pytest

from fair_dagster.domain.errors import RefusedError, ServiceError
from fair_dagster.flows.base_models.branch import Repository, current_checkout
from fair_dagster.flows.base_models.git import redacted
from fair_dagster.pipelines.contract import check_folder
from fair_dagster.settings import Settings
from tests.sensors.repositories import Scratch


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    found = Scratch.at(tmp_path / "origin")
    found.write("models/alpha/stac-item.json", "{}")
    found.commit("Add alpha")
    return found


@pytest.fixture
def settings(scratch: Scratch, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", models_repo=str(scratch.path))


def checkout(settings: Settings) -> Path:
    repository = Repository(settings)
    return repository.checkout(repository.fetch())


def test_a_checkout_holds_the_base_models_of_the_head_and_nothing_else(settings: Settings, scratch: Scratch) -> None:
    scratch.write("secret.txt", "Not a base model.")
    head = scratch.commit("Something else")
    folder = checkout(settings)
    assert folder.name == head
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        "models/alpha/stac-item.json"
    ]
    assert current_checkout(settings.repository_path) == folder


def test_the_users_clone_is_read_and_never_written(settings: Settings, scratch: Scratch) -> None:
    before = {path: path.stat().st_mtime_ns for path in scratch.path.rglob("*") if path.is_file()}
    checkout(settings)
    assert {path: path.stat().st_mtime_ns for path in scratch.path.rglob("*") if path.is_file()} == before


def test_a_commit_with_the_same_base_models_gets_no_checkout_of_its_own(settings: Settings, scratch: Scratch) -> None:
    first = checkout(settings)
    scratch.write("README.md", "About.")
    scratch.commit("Elsewhere")
    assert checkout(settings) == first


def test_links_that_lead_out_of_a_base_model_lead_nowhere_and_are_refused(settings: Settings, scratch: Scratch) -> None:
    folder = scratch.models / "alpha"
    (folder / "passwords").symlink_to("/etc/passwd")
    (folder / "parent").symlink_to("../beta")
    (folder / "own.json").symlink_to("stac-item.json")
    (scratch.models / "whole").symlink_to("/etc")
    scratch.commit("Add links")
    found = checkout(settings) / "models"
    assert sorted(path.name for path in found.rglob("*") if path.exists()) == ["alpha", "own.json", "stac-item.json"]
    problems = [problem.detail for problem in check_folder(found / "alpha").problems]
    assert {"passwords links to outside the folder", "parent links to outside the folder"} <= {*problems}
    assert "own.json links to outside the folder" not in problems


def test_file_names_that_are_no_utf8_are_refused(settings: Settings, scratch: Scratch) -> None:
    try:
        Path(f"{scratch.models}/alpha/da\udcffta.txt").write_text("")
    except OSError:
        pytest.skip("the disk takes UTF-8 names only")
    scratch.commit("Add a strange name")
    problems = [problem.detail for problem in check_folder(checkout(settings) / "models" / "alpha").problems]
    assert r"'da\udcffta.txt' is no file name in UTF-8: rename it" in problems


def test_models_that_is_no_folder_is_an_error_and_not_an_empty_one(settings: Settings, scratch: Scratch) -> None:
    before = checkout(settings)
    scratch.remove("models")
    scratch.models.symlink_to("/etc")
    scratch.commit("Replace models")
    with pytest.raises(ServiceError, match="is not a folder"):
        checkout(settings)
    assert current_checkout(settings.repository_path) == before


def test_hooks_and_submodules_do_nothing(
    settings: Settings, scratch: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "ran"
    for hook in ("post-checkout", "reference-transaction", "post-merge"):
        path = scratch.path / ".git" / "hooks" / hook
        path.write_text(f"#!/bin/sh\ntouch {mark}\n")
        path.chmod(0o755)
    other = Scratch.at(tmp_path / "other")
    other.commit("Begin")
    scratch.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other.path), "models/sub")
    scratch.commit("Add a submodule")
    mark.unlink(missing_ok=True)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.hooksPath")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(scratch.path / ".git" / "hooks"))
    folder = checkout(settings)
    assert not mark.exists()
    assert not list((folder / "models" / "sub").iterdir())


@pytest.mark.parametrize(
    ("repository", "branch", "words"),
    [
        ("", "main", "FAIR_MODELS_REPO is not set"),
        ("--upload-pack=touch x:y", "main", "begins with '-'"),
        ("/srv/models", "--all", "is not the name of a branch"),
        ("/srv/models", "a..b", "is not the name of a branch"),
        ("/srv/models", "a b", "is not the name of a branch"),
        ("/srv/models", "a:b", "is not the name of a branch"),
        ("/srv/models", "", "is not the name of a branch"),
    ],
)
def test_what_git_would_take_for_an_option_is_refused(tmp_path: Path, repository: str, branch: str, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        Repository(Settings(home=tmp_path, models_repo=repository, models_branch=branch))


def test_protocols_that_start_programs_are_not_spoken_whatever_a_user_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "ran"
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "protocol.ext.allow")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "always")
    settings = Settings(home=tmp_path, models_repo=f"ext::touch {mark}")
    with pytest.raises(ServiceError, match="not allowed"):
        Repository(settings).fetch()
    assert not mark.exists()


def test_credentials_of_a_url_are_not_told(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, models_repo="https://user:s3cret@127.0.0.1:9/models.git")
    with pytest.raises(ServiceError) as refused:
        Repository(settings, timeout=20).fetch()
    assert "s3cret" not in str(refused.value)
    assert "127.0.0.1" in str(refused.value)
    assert "s3cret" not in str(settings.plain())
    assert "s3cret" not in str(settings.environment())
    assert redacted("fetch https://a:b@c/d and ssh://e@f/g") == "fetch https://***@c/d and ssh://***@f/g"


def test_a_process_that_stands_in_another_repository_is_not_misled(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "objects"))
    assert (checkout(settings) / "models" / "alpha").is_dir()
    assert not (tmp_path / "objects").exists()


def test_a_branch_with_another_name_can_follow_one_with_its_prefix(settings: Settings, scratch: Scratch) -> None:
    checkout(settings)
    scratch.git("checkout", "--quiet", "-b", "release/1")
    scratch.write("models/beta/stac-item.json", "{}")
    scratch.commit("Add beta")
    following = settings.model_copy(update={"models_branch": "release/1"})
    assert (checkout(following) / "models" / "beta").is_dir()


def test_old_checkouts_are_removed_but_for_the_last_few(settings: Settings, scratch: Scratch) -> None:
    old = time.time() - 30 * 24 * 3600
    made = []
    for number in range(6):
        scratch.write("models/alpha/README.md", str(number))
        scratch.commit(f"Version {number}")
        made.append(checkout(settings))
    for number, path in enumerate(made):
        os.utime(path, (old + number, old + number))
    scratch.write("models/alpha/README.md", "last")
    scratch.commit("Last")
    last = checkout(settings)
    kept = {path for path in last.parent.iterdir() if not path.name.startswith(".")}
    assert last in kept
    assert made[-1] in kept
    assert made[0] not in kept
    assert len(kept) == 4


def test_a_checkout_that_was_interrupted_is_made_anew(settings: Settings, scratch: Scratch) -> None:
    head = scratch.git("rev-parse", "HEAD")
    partial = settings.repository_path / "commits" / f".{head}" / "models" / "half"
    partial.mkdir(parents=True)
    assert sorted(path.name for path in (checkout(settings) / "models").iterdir()) == ["alpha"]

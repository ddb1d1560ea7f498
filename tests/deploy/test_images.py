"""The images: built from what is there, from the lock and nothing else, and started as nobody special."""

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from tests.deploy.documents import DEPLOY, ROOT, Stage, services, stages

TARGETS = ("code-location", "stac-api", "zenml-server", "mlflow")


def _tool(name: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert found, f"{name} is not installed"
    return found


def test_the_dockerfile_has_no_findings() -> None:
    done = subprocess.run(
        [_tool("hadolint"), str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")


def _copied(stage: Stage) -> list[str]:
    """What a stage copies from the folder of the repository."""
    found = []
    for text in stage.all("COPY"):
        words = text.split()
        if any(word.startswith("--from=") for word in words):
            continue
        found += [word for word in words[:-1] if not word.startswith("--")]
    return found


def _sent(path: str) -> bool:
    """Whether .dockerignore lets a path of the repository into a build."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [line[1:] for line in lines if line.startswith("!")]
    dropped = [line for line in lines if line and line[0] not in "!#" and line != "*"]
    inside = any(path == one or path.startswith(f"{one}/") or one.startswith(f"{path}/") for one in kept)
    return inside and not any(fnmatch(path, one.removeprefix("**/")) for one in dropped)


def test_all_that_is_copied_is_there_and_is_sent_to_the_build() -> None:
    copied = [path for stage in stages().values() for path in _copied(stage)]
    assert copied
    assert [path for path in copied if not (ROOT / path).exists()] == []
    assert [path for path in copied if not _sent(path)] == []


def test_nothing_secret_or_local_is_sent_to_a_build() -> None:
    for path in (".git", ".fair", ".venv", "deploy/compose", "deploy/compose/.env", "tests"):
        assert not _sent(path), path


def test_every_import_root_of_the_project_is_in_the_code_location() -> None:
    assert {"fair_dagster", "assets", "sensors", "schemas", "models", "deploy/setup"} <= set(
        _copied(stages()["build-code-location"]) + _copied(stages()["code-location"])
    )


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_nobody_special_and_tells_how_it_is(target: str) -> None:
    stage = stages()[target]
    assert stage.last("USER") == "1000:1000"
    assert "HEALTHCHECK" in dict(stage.instructions)
    port = stage.last("EXPOSE")
    assert port in str(stage.command)
    assert port in stage.last("HEALTHCHECK")


def test_the_entrypoint_leaves_the_command_to_kubernetes() -> None:
    """The chart and dagster-k8s give ``dagster ...`` as arguments: an entrypoint of that name would come twice."""
    entrypoint = yaml.safe_load(stages()["code-location"].last("ENTRYPOINT"))
    assert entrypoint == ["/usr/bin/tini", "--"]
    assert stages()["code-location"].command[0] == "dagster"


def test_base_images_are_given_by_argument_and_carry_a_version() -> None:
    arguments = re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert {name for name, _ in arguments} == {"PYTHON_IMAGE", "UV_IMAGE"}
    for _, image in arguments:
        assert re.search(r":[0-9][\w.-]*$|@sha256:[0-9a-f]{64}$", image), image


def test_images_of_the_compose_file_carry_a_version() -> None:
    for name, service in services().items():
        assert re.search(r":([0-9v][\w.-]*|\$\{IMAGE_TAG:-[0-9][\w.]*\})$", service["image"]), name


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_installs_what_the_lock_holds_and_nothing_else(target: str, tmp_path: Path) -> None:
    """The very arguments of the Dockerfile, resolved for an empty environment without downloading the packages."""
    (run,) = (text for text in stages()[f"build-{target}"].all("RUN") if "--require-hashes" in text)
    words = run[run.index("uv pip install") :].split()[3:]
    project = ROOT if target == "code-location" else DEPLOY / "servers"
    places = {
        "/opt/venv/bin/python": sys.executable,
        "/build/requirements.lock": str(ROOT / "requirements.lock"),
        "requirements.lock": str(ROOT / "requirements.lock"),
    }
    words = [re.sub(r"^pyproject\.toml", f"{project}/pyproject.toml", places.get(word, word)) for word in words]
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [_tool("uv"), "pip", "install", "--dry-run", "--target", str(tmp_path / "empty"), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    planned = set(re.findall(r"^ \+ (\S+==\S+)$", done.stderr, flags=re.MULTILINE))
    locked = set(re.findall(r"^(\S+?==\S+)", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE))
    assert planned
    assert planned - locked == set()

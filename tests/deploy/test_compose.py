"""The compose file: its form, what it opens, that it holds no secret, and servers started as the local ones are."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.local_services.commands import COMMANDS
from tests.deploy.documents import (
    DEPLOY,
    Stage,
    compose,
    interpolated,
    services,
    settings_of,
    stages,
    variables_asked_for,
)

FOLDER = DEPLOY / "compose"
LOCAL_NAMES = {"stac-api": "stac-api", "zenml": "zenml", "mlflow": "mlflow", "registry": "registry", "redis": "redis"}
TARGETS = {"stac-api": "stac-api", "zenml": "zenml-server", "mlflow": "mlflow"}
ONE_SHOT = {"postgres-setup", "s3-setup", "zenml-key"}


def _checked(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_file_follows_the_compose_specification() -> None:
    done = _checked(FOLDER / "compose.yaml")
    assert done.returncode == 0, done.stdout


def test_a_file_that_does_not_is_noticed(tmp_path: Path) -> None:
    altered = (FOLDER / "compose.yaml").read_text().replace("healthcheck:", "healtcheck:")
    (tmp_path / "compose.yaml").write_text(altered)
    assert _checked(tmp_path / "compose.yaml").returncode == 1


def test_nothing_listens_beyond_loopback() -> None:
    published = {name: str(port) for name, service in services().items() for port in service.get("ports", [])}
    assert len(published) >= 5
    assert {name for name, port in published.items() if not port.startswith("127.0.0.1:")} == set()
    assert compose()["networks"]["data"]["internal"] is True
    for name in ("postgres", "mariadb", "redis"):
        assert services()[name]["networks"] == ["data"]
        assert "ports" not in services()[name]


def test_whoever_waits_for_a_service_waits_until_it_is_ready() -> None:
    for name, service in services().items():
        for awaited, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if awaited in ONE_SHOT else "service_healthy"
            assert how["condition"] == wanted, (name, awaited)


def test_every_service_has_a_health_check_and_comes_back() -> None:
    checked_by_image = {
        name for name, target in TARGETS.items() if "HEALTHCHECK" in dict(stages()[target].instructions)
    }
    for name, service in services().items():
        if name in ONE_SHOT:
            assert service["restart"] == "no"
            continue
        assert service["restart"] == "unless-stopped"
        assert "test" in service.get("healthcheck", {}) or name in {*checked_by_image, "code-location"}, name
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_networks_volumes_and_secrets_are_declared_and_used() -> None:
    used: dict[str, set[str]] = {"networks": {"default"}, "volumes": set(), "secrets": set()}
    for service in services().values():
        used["networks"].update(service.get("networks", []))
        used["secrets"].update(service.get("secrets", []))
        named = (mount.partition(":")[0] for mount in service.get("volumes", []) if isinstance(mount, str))
        used["volumes"].update(named)
    for kind, names in used.items():
        assert set(compose()[kind]) == names


def test_a_file_that_is_mounted_is_there() -> None:
    mounts = [mount for service in services().values() for mount in service.get("volumes", [])]
    files = [mount["source"] for mount in mounts if isinstance(mount, dict)]
    assert files
    assert [name for name in files if not (FOLDER / name).is_file()] == []


def test_no_secret_stands_in_the_file() -> None:
    secret = re.compile(r"PASSWORD|SECRET|_KEY$|ACCESS_KEY|DSN|TOKEN|BROKER_URL|BACKEND_STORE_URI")
    for name, service in services().items():
        for variable, value in service.get("environment", {}).items():
            if secret.search(variable) and value:
                assert "${" in value or value.startswith("/run/secrets/"), (name, variable)


# ---- the env file ----


def _example() -> dict[str, str]:
    lines = (FOLDER / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]", line))


def test_the_example_names_every_secret_and_holds_none() -> None:
    secrets = {one["environment"] for one in compose()["secrets"].values()}
    assert set(_example()) == variables_asked_for() | secrets
    assert set(_example().values()) == {""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("new-env", ".env.example"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    (tmp_path / "new-env").chmod(0o755)
    return tmp_path


def _new_env(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([folder / "new-env"], capture_output=True, text=True, check=False, timeout=30)


def test_a_new_env_file_has_a_secret_of_its_own_for_each_and_is_its_owners(folder: Path) -> None:
    assert _new_env(folder).returncode == 0
    made = folder / ".env"
    values = dict(line.split("=", 1) for line in made.read_text().splitlines() if re.match(r"[A-Z]", line))
    assert set(values) == set(_example())
    assert all(re.fullmatch(r"[0-9a-f]{48}", value) for value in values.values())
    assert len(set(values.values())) == len(values)
    assert stat.S_IMODE(made.stat().st_mode) == 0o600


def test_an_env_file_that_is_there_stays(folder: Path) -> None:
    (folder / ".env").write_text("POSTGRES_PASSWORD=in-use\n")
    done = _new_env(folder)
    assert done.returncode == 1
    assert "is there" in done.stderr
    assert (folder / ".env").read_text() == "POSTGRES_PASSWORD=in-use\n"


def test_the_script_can_be_run() -> None:
    assert os.access(FOLDER / "new-env", os.X_OK)


# ---- the same servers as scripts/services ----

DIFFERENT = {
    # What the stack's catalog is written by is the database; the tests' API has the extension that writes.
    "ENABLE_TRANSACTIONS_EXTENSIONS",
}
BY_FILE_HERE = {
    # registry.yml says these.
    "REGISTRY_HTTP_ADDR",
    "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY",
    "REGISTRY_STORAGE_DELETE_ENABLED",
    "REGISTRY_LOG_LEVEL",
    # Debian's build wants it; the image has no such exporter.
    "OTEL_TRACES_EXPORTER",
}


def _command(name: str) -> list[str]:
    service = services()[name]
    target = stages().get(TARGETS.get(name, ""))
    return list(service.get("command") or (target.command if target else []))


def _environment(name: str) -> dict[str, Any]:
    stage = stages().get(TARGETS.get(name, ""), Stage("", ""))
    return {**stage.environment, **services()[name].get("environment", {})}


def _skeleton(words: list[str]) -> tuple[set[str], set[str]]:
    """What is run, and the names of its options, without the values that differ from place to place."""
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    words = [word for word in words if not word.startswith("-") and (":" in word or word.isalpha())]
    return set(words), options


@pytest.mark.parametrize("name", ["stac-api", "zenml", "mlflow"])
def test_a_server_is_started_as_the_local_one_is(name: str) -> None:
    local = COMMANDS[LOCAL_NAMES[name]]
    here, there = _skeleton(_command(name)), _skeleton(list(local.argv))
    assert here[0] == there[0]
    # Only the image hides which server answers.
    assert here[1] - {"--no-server-header"} == there[1]


@pytest.mark.parametrize("name", sorted(LOCAL_NAMES))
def test_a_server_has_the_environment_of_the_local_one(name: str) -> None:
    local, here = COMMANDS[LOCAL_NAMES[name]].env, _environment(name)
    assert set(local) - BY_FILE_HERE <= set(here)
    fixed = {variable: value for variable, value in local.items() if "{" not in value}
    differ = {variable for variable, value in fixed.items() if variable in here and str(here[variable]) != value}
    assert differ <= DIFFERENT


def test_redis_keeps_what_it_was_given_as_the_local_one_does() -> None:
    script = " ".join(services()["redis"]["command"])
    for words in ("redis-server /tmp/redis.conf", "--dir /data", "--appendonly yes"):
        assert words in script
    assert {"--dir", "--appendonly", "--bind", "--port"} <= set(COMMANDS["redis"].argv)


def test_postgres_and_mariadb_have_the_options_of_the_local_ones() -> None:
    local = " ".join(COMMANDS["postgres"].argv)
    for option in ("max_connections=200", "timezone=UTC"):
        assert option in local
        assert option in services()["postgres"]["command"]
    for option in ("--character-set-server=utf8mb4", "--max-allowed-packet=64M"):
        assert option in COMMANDS["mariadb"].argv
        assert option in services()["mariadb"]["command"]


def test_the_api_reads_only_wherever_it_is_deployed() -> None:
    assert services()["stac-api"]["environment"]["ENABLE_TRANSACTIONS_EXTENSIONS"] == "FALSE"
    assert settings_of("stac-api")["ENABLE_TRANSACTIONS_EXTENSIONS"] == "FALSE"


def test_variables_are_filled_as_compose_fills_them() -> None:
    assert interpolated("a${B:?missing}c$$d${E:-f}", {"B": "b"}) == "abc$df"
    with pytest.raises(KeyError):
        interpolated("${B:?missing}", {})

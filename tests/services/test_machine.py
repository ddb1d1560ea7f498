"""What is said and done where programs are missing, and that nothing of a package is started by installing it."""

import os
from pathlib import Path

import pytest

from fair_dagster.domain.errors import ServiceError
from scripts.local_services import machine as machines
from scripts.local_services.home import Home
from scripts.local_services.machine import Machine
from scripts.local_services.supervisor import Supervisor
from tests.services import servers
from tests.services.fixtures import Services


def _bare(folder: Path, *, root: bool = False, debian: bool = True) -> Machine:
    return Machine(search=(folder / "bin",), root=root, debian=debian, postgres=folder / "postgresql")


def _apt_get(folder: Path, script: str) -> None:
    """An apt-get for the PATH."""
    (folder / "apt").mkdir()
    program = folder / "apt" / "apt-get"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(("root", "debian"), [(False, True), (True, False)])
def test_without_root_or_debian_all_missing_packages_are_named(tmp_path: Path, root: bool, debian: bool) -> None:
    supervisor = Supervisor(Home(tmp_path / "services"), _bare(tmp_path, root=root, debian=debian))
    found = {outcome.name: outcome.error for outcome in supervisor.up(["stac-api", "redis", "s3"])}
    for name in ("postgres", "redis"):
        assert "apt-get install postgresql postgresql-postgis redis-server" in found[name]
    assert "the extra 'services' ('make install')" in found["s3"]
    assert "the extra 'services'" in found["stac-api"]
    assert not list((tmp_path / "services" / "run").iterdir())


def test_what_needs_a_server_that_failed_is_not_started(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "uvicorn"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    found = Supervisor(Home(tmp_path / "services"), _bare(tmp_path)).up(["stac-api"])
    assert found[1].name == "stac-api"
    assert found[1].error == "was not started, because postgres failed"


def test_nothing_is_started_by_installing_and_the_ban_is_lifted_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(machines, "POLICY", policy)
    script = 'echo "$@ frontend=$DEBIAN_FRONTEND"; sh POLICY; echo $?'.replace("POLICY", str(policy))
    _apt_get(tmp_path, f"({script}) >> {tmp_path / 'calls'}")
    monkeypatch.setenv("PATH", f"{tmp_path / 'apt'}{os.pathsep}{os.environ['PATH']}")
    _bare(tmp_path, root=True).install(["redis-server", "docker-registry"], tmp_path / "log")
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0].endswith("update frontend=noninteractive")
    assert calls[2].endswith("--no-install-recommends docker-registry redis-server frontend=noninteractive")
    assert calls[1] == calls[3] == "101"
    assert not policy.exists()


def test_a_ban_that_stands_already_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    monkeypatch.setattr(machines, "POLICY", policy)
    _apt_get(tmp_path, "exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'apt'}{os.pathsep}{os.environ['PATH']}")
    _bare(tmp_path, root=True).install(["redis-server"], tmp_path / "log")
    assert policy.exists()


def test_a_ban_that_a_killed_installation_has_left_is_lifted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(machines, "POLICY", policy)
    _apt_get(tmp_path, f"cp {policy} {tmp_path / 'left'}")
    monkeypatch.setenv("PATH", f"{tmp_path / 'apt'}{os.pathsep}{os.environ['PATH']}")
    _bare(tmp_path, root=True).install(["redis-server"], tmp_path / "log")
    (tmp_path / "left").rename(policy)
    _bare(tmp_path, root=True).install(["redis-server"], tmp_path / "log")
    assert not policy.exists()


def test_a_failing_installation_is_told_with_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "POLICY", tmp_path / "policy-rc.d")
    _apt_get(tmp_path, 'echo "E: Unable to locate package" >&2; exit 100')
    monkeypatch.setenv("PATH", f"{tmp_path / 'apt'}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(ServiceError, match=r"apt-get ended with 100:\nE: Unable to locate package"):
        _bare(tmp_path, root=True).install(["redis-server"], tmp_path / "log")
    assert not (tmp_path / "policy-rc.d").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run under another user")
def test_a_folder_that_the_servers_user_may_not_enter_is_named_before_anything_is_made(
    services: Services, tmp_path: Path
) -> None:
    services.require("postgres", "mariadb")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    found = Supervisor(Home(closed / "services")).up(["postgres", "mariadb"])
    for outcome in found:
        assert "may not enter" in outcome.error
        assert "FAIR_HOME" in outcome.error
    assert not [path for path in (closed / "services" / "data").iterdir() if path.is_dir()]


def test_a_test_is_skipped_without_its_server_and_fails_where_servers_are_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = Services(Supervisor(Home(tmp_path / "services"), _bare(tmp_path)))
    monkeypatch.delenv(servers.REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install redis-server"):
        lacking.require("redis")
    monkeypatch.setenv(servers.REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match=r"FAIR_REQUIRE_SERVICES is set, and .* redis-server"):
        lacking.require("redis")

"""`scripts/services` as people call it, with servers that start in no time."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from tests.services.installation import SCRIPT, Installation


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _redis(installation: Installation) -> "redis.Redis[bytes]":
    return redis.Redis.from_url(installation.sourced()["FAIR_BROKER_URL"])


def test_what_is_up_answers_and_keeps_its_port_and_data_through_death_and_rest(installation: Installation) -> None:
    assert f"source {installation.folder / 'env'}" in installation.run("up", "redis").stdout
    first = installation.status("redis")
    assert first.state == "running"
    _redis(installation).set("kept", "value")

    assert "runs already" in installation.run("up", "redis").stderr
    assert installation.status("redis").pid == first.pid

    os.killpg(first.pid, signal.SIGKILL)
    shown = installation.run("status", code=1).stdout
    assert "redis" in shown
    assert "died" in shown
    died = installation.status("redis")
    assert (died.state, died.pid) == ("died", 0)
    assert "scripts/services up" in died.problem

    installation.run("up", "redis")
    second = installation.status("redis")
    assert (second.state, second.url) == ("running", first.url)
    assert second.pid != first.pid
    assert _redis(installation).get("kept") == b"value"

    assert installation.run("down").stdout == "stopped redis\n"
    assert not _alive(second.pid)
    assert installation.status("redis").state == "stopped"
    assert installation.run("down").stdout == "nothing was running\n"

    installation.run("up", "redis")
    assert installation.status("redis").url == first.url
    assert _redis(installation).get("kept") == b"value"


def test_the_environment_is_for_its_owner_and_names_what_runs(installation: Installation) -> None:
    installation.run("up", "redis")
    assert "FAIR_S3_ENDPOINT" not in installation.sourced()
    installation.run("up", "s3")
    found = installation.sourced()
    assert found["FAIR_HOME"] == str(installation.home)
    assert found["FAIR_S3_ENDPOINT"] == installation.status("s3").url
    assert found["FAIR_S3_PATH_STYLE"] == "true"
    assert found["FAIR_ARTIFACTS"].startswith("s3://")
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "FAIR_BROKER_URL"} <= set(found)
    for name in ("env", "state.json"):
        assert stat.S_IMODE((installation.folder / name).stat().st_mode) == 0o600


def test_no_password_stands_in_a_list_of_processes_or_in_what_is_printed(installation: Installation) -> None:
    printed = installation.run("up", "redis", "s3")
    shown = installation.run("status").stdout + installation.run("status", "--json").stdout
    found = installation.sourced()
    secrets = [found["AWS_SECRET_ACCESS_KEY"], found["FAIR_BROKER_URL"].partition("@")[0].rpartition(":")[2]]
    arguments = [Path(f"/proc/{installation.status(name).pid}/cmdline").read_text() for name in ("redis", "s3")]
    for secret in secrets:
        assert len(secret) > 20
        assert not [text for text in (*arguments, shown, printed.stdout, printed.stderr) if secret in text]


def test_servers_outlive_the_shell_that_started_them_and_are_stopped_from_another(installation: Installation) -> None:
    # A shell without job control has what it starts in the background ignore SIGINT.
    shell = subprocess.Popen(
        ["bash", "-c", f"{SCRIPT} up redis & wait; sleep 300"],
        env=installation.environment,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert shell.stdout is not None
    assert shell.stdout.readline().startswith("source ")
    os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()
    pid = installation.status("redis").pid
    assert _alive(pid)
    installation.run("down")
    assert not _alive(pid)


def test_a_port_that_somebody_took_meanwhile_is_given_up_and_told(installation: Installation) -> None:
    installation.run("up", "redis")
    url = installation.status("redis").url
    installation.run("down")
    port = int(url.rpartition(":")[2])
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        told = installation.run("up", "redis").stderr
        assert f"port {port} is taken" in told
        assert installation.status("redis").url != url
        assert f":{port}/" not in installation.sourced()["FAIR_BROKER_URL"]
        assert _redis(installation).ping()


def test_two_homes_do_not_meet(installation: Installation, tmp_path: Path) -> None:
    other = Installation(tmp_path / "other")
    try:
        starting = [
            subprocess.Popen([str(SCRIPT), "up", "redis", "s3"], env=one.environment, stderr=subprocess.DEVNULL)
            for one in (installation, other)
        ]
        assert [process.wait(timeout=120) for process in starting] == [0, 0]
        assert installation.status("redis").url != other.status("redis").url
        installation.run("down")
        assert other.status("redis").state == "running"
    finally:
        other.supervisor.down()


def test_two_who_start_the_same_home_at_once_start_it_once(installation: Installation) -> None:
    starting = [
        subprocess.Popen([str(SCRIPT), "up", "redis"], env=installation.environment, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [process.communicate(timeout=120)[1] for process in starting]
    assert [process.returncode for process in starting] == [0, 0]
    assert sum("ready after" in text for text in told) == 1
    assert sum("runs already" in text for text in told) == 1


def test_one_that_fails_says_why_and_hides_no_other(installation: Installation) -> None:
    broken = installation.folder / "data" / "redis" / "appendonlydir"
    broken.mkdir(parents=True)
    (broken / "appendonly.aof.manifest").write_text("nonsense\n")
    done = installation.run("up", "redis", "s3", code=1)
    assert "redis ended before it answered" in done.stderr
    assert "manifest" in done.stderr.partition("ended before it answered")[2], "the end of its log is shown"
    assert installation.status("s3").state == "running"
    assert "FAIR_BROKER_URL" not in installation.sourced()
    assert installation.status("redis").state == "died"


def test_one_that_hangs_is_told_from_one_that_answers(installation: Installation) -> None:
    installation.run("up", "redis")
    pid = installation.status("redis").pid
    os.kill(pid, signal.SIGSTOP)
    try:
        found = json.loads(installation.run("status", "redis", "--json", code=1).stdout)[0]
        assert (found["state"], found["pid"]) == ("not answering", pid)
        assert "timed out" in found["problem"]
    finally:
        os.kill(pid, signal.SIGCONT)


def test_an_unknown_name_is_answered_with_the_names_there_are(installation: Installation) -> None:
    told = installation.run("up", "redis", "postgress", code=1).stderr
    assert "there is no 'postgress'" in told
    assert "postgres, stac-api" in told
    assert installation.status("redis").state == "stopped"


def test_damaged_notes_are_named_and_nothing_is_made_anew_beside_the_data(installation: Installation) -> None:
    installation.run("up", "redis")
    installation.run("down")
    state = installation.folder / "state.json"
    kept = state.read_text()
    state.write_text(kept[:20])
    told = installation.run("up", "redis", code=1).stderr
    assert str(state) in told
    assert "Traceback" not in told
    assert state.read_text() == kept[:20]
    state.write_text(kept)


def test_a_strict_umask_keeps_no_server_from_its_folder(installation: Installation) -> None:
    subprocess.run(["bash", "-c", f"umask 077; {SCRIPT} up s3"], env=installation.environment, check=True)
    for name in ("", "data", "logs", "run"):
        assert stat.S_IMODE((installation.folder / name).stat().st_mode) == 0o755


def test_nothing_is_made_by_looking(installation: Installation) -> None:
    installation.run("status")
    installation.run("down")
    assert not installation.folder.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="tells times of processes from /proc")
def test_ctrl_c_ends_the_waiting_and_leaves_a_home_that_can_be_used(installation: Installation) -> None:
    starting = subprocess.Popen(
        [str(SCRIPT), "up", "redis", "mlflow"], env=installation.environment, stderr=subprocess.PIPE, text=True
    )
    assert starting.stderr is not None
    assert "redis: ready" in starting.stderr.readline()
    # The second server has begun, and is waited for.
    deadline = time.monotonic() + 60
    while not installation.status("mlflow").pid and starting.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    starting.send_signal(signal.SIGINT)
    assert starting.wait(timeout=60) != 0
    assert "mlflow" in installation.run("down").stdout
    assert installation.status("mlflow").state == "stopped"

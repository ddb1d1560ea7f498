"""Ending a server means ending all that it has started, and nothing else."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fair_dagster.net.processes import Process
from scripts.local_services import processes

_TREE = """
import signal, subprocess, sys, time
{deaf}
code = "import signal, time; {deaf}; print('ready', flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", code])
print(child.pid, flush=True)
time.sleep({seconds})
"""
_DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


def _start(tmp_path: Path, *, deaf: str = "pass", seconds: int = 600) -> tuple[Process, Process]:
    """A process with a child, both running."""
    log = tmp_path / "log"
    code = _TREE.format(deaf=deaf, seconds=seconds)
    started = processes.start(processes.Start((sys.executable, "-c", code), {"PATH": os.defpath}, tmp_path, log))
    while "ready" not in (text := log.read_text()) or not [line for line in text.split() if line.isdigit()]:
        time.sleep(0.02)
    child = next(int(line) for line in text.split() if line.isdigit())
    return started, Process.of(child)


@pytest.mark.parametrize("deaf", ["pass", _DEAF])
def test_a_server_and_its_children_end_politely_or_by_force(tmp_path: Path, deaf: str) -> None:
    leader, child = _start(tmp_path, deaf=deaf)
    polite = processes.stop(leader, signal.SIGTERM, 0.5, whole_group=True)
    assert polite == (deaf != _DEAF)
    assert not processes.alive(leader)
    assert not child.alive


class _OfManyThreads(subprocess.Popen[bytes]):
    """Shows as a zombie before it can be waited for, as processes do whose other threads have yet to end."""

    def poll(self) -> int | None:
        return None


def test_zombies_of_a_killed_server_are_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each held up a session's end by 15 s, for its group counted as alive."""
    looks, sleep = iter(range(100)), time.sleep
    monkeypatch.setattr(subprocess, "Popen", _OfManyThreads)
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds + 0 * next(looks)))
    started = processes.start(processes.Start(("sleep", "600"), {"PATH": os.defpath}, tmp_path, tmp_path / "log"))
    processes.kill(started, 60)
    assert not started.alive


def test_children_of_a_server_that_has_died_are_ended_too(tmp_path: Path) -> None:
    leader, child = _start(tmp_path, seconds=0)
    assert processes.wait_for_end(leader, 30)
    assert child.alive
    processes.stop(leader, signal.SIGTERM, 5, whole_group=True)
    assert not child.alive


def test_a_process_that_has_got_the_number_of_a_dead_server_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as other:
        was = Process(other.pid, "1")
        processes.stop(was, signal.SIGTERM, 1, whole_group=True)
        processes.kill(was, 1)
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize("delay", ["0", "0.5"])
def test_a_tied_server_ends_when_the_one_that_started_it_is_killed(tmp_path: Path, delay: str) -> None:
    """Also where that one dies before the tie holds, which takes a moment."""
    real = shutil.which("setpriv")
    if real is None:
        pytest.skip("setpriv, of Debian's util-linux, is missing")
    slow = tmp_path / "setpriv"
    slow.write_text(f'#!/bin/sh\nsleep {delay}\nexec {real} "$@"\n')
    slow.chmod(0o755)
    code = f"""
import os, time
from pathlib import Path
from scripts.local_services import processes
folder = Path({str(tmp_path)!r})
what = processes.Start(("sleep", "600"), dict(os.environ), folder, folder / "log", tied=True)
print(processes.start(what).pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        server = Process.of(int(parent.stdout.readline()))
        assert server.alive
        parent.kill()
    assert processes.wait_for_end(server, 30)

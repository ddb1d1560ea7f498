"""Processes of this machine."""

import subprocess
import sys
import time

import pytest

from fair_dagster.net.processes import Process

CHILD = """
import time
from fair_dagster.net.processes import end_with_parent
end_with_parent()
print("ready", flush=True)
time.sleep(600)
"""
PARENT = """
import signal, subprocess, sys
if sys.argv[2:] == ["deaf"]:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a child that its parent died")
@pytest.mark.parametrize("inherited", [[], ["deaf"]])
def test_a_child_ends_with_a_parent_that_is_killed(inherited: list[str]) -> None:
    """The process that trains would go on filling a version whose run counts as failed."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD, *inherited], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = Process.of(int(parent.stdout.readline()))
    try:
        assert parent.stdout.readline() == "ready\n"
        assert child.alive
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 20
        while child.alive and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not child.alive
    finally:
        parent.kill()
        subprocess.run(["kill", "-9", str(child.pid)], check=False, capture_output=True)
        parent.stdout.close()


LEAVING = """
import sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from fair_dagster.net.processes import leave
pool = ThreadPoolExecutor()
pool.submit(lambda: (time.sleep(0.5), print("done", flush=True)))
if "hangs" in sys.argv:
    threading.Thread(target=time.sleep, args=(600,)).start()
leave(3, grace=2)
"""


@pytest.mark.parametrize("arguments", [[], ["hangs"]])
def test_a_process_ends_with_idle_pools_and_with_threads_that_never_end(arguments: list[str]) -> None:
    """MLflow's client keeps a pool for uploads: a training that had copied its model never ended."""
    ended = subprocess.run(
        [sys.executable, "-c", LEAVING, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (3, "done\n")

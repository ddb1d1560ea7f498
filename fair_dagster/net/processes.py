"""Processes of this machine: an identity that is never used again, ending them, and ending quickly.

Numbers of processes come around, after a restart of the machine within minutes; the moment of the start tells two
processes with one number apart, so that a dead one is not taken for another. Nothing here knows runs.
"""

import atexit
import ctypes
import gc
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_STATE, _STARTED = 0, 19
"""Places in ``/proc/<pid>/stat`` after the command's name: proc(5), fields 3 and 22."""


@dataclass(frozen=True)
class Process:
    """A process. ``started`` is in clock ticks since the machine's start; empty where that cannot be known."""

    pid: int
    started: str = ""

    @classmethod
    def of(cls, pid: int) -> "Process":
        fields = _fields(pid)
        return cls(pid, fields[_STARTED] if fields else "")

    @classmethod
    def parse(cls, text: str) -> "Process | None":
        """The inverse of ``str``; None for anything else."""
        pid, _, started = text.partition(":")
        return cls(int(pid), started) if pid.isdigit() else None

    def __str__(self) -> str:
        return f"{self.pid}:{self.started}"

    @property
    def alive(self) -> bool:
        """Whether it is running; a zombie is not."""
        fields = _fields(self.pid)
        if fields is not None:
            return fields[_STATE] != "Z" and self.started in {"", fields[_STARTED]}
        if Path("/proc/self/stat").exists():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def kill_group(self) -> None:
        """End the group that the process leads or led, itself included; only for one started in a new session."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def collect_rarely() -> None:
    """Let the garbage collector look for cycles every 200,000 objects, not every 700.

    For a process that begins by loading thousands of modules: importing ZenML takes 3.2 s instead of 3.9 s.
    """
    gc.set_threshold(200_000, 50, 100)


def heed_signals() -> None:
    """Let SIGINT and SIGTERM end this process, also when it was started with orders to ignore them.

    A shell script has its background processes ignore SIGINT, Dagster then treats SIGTERM alike, and children inherit
    both: a run could not be stopped.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_with_parent(signum: signal.Signals = signal.SIGTERM) -> None:
    """Let this process get ``signum`` when the one that started it dies, even by SIGKILL. On Linux only."""
    parent = os.getppid()
    heed_signals()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signum))
        if os.getppid() != parent:
            # It died in between.
            os.kill(os.getpid(), signum)


def leave(code: int, *, grace: float = 60.0) -> NoReturn:
    """End this process: threads and exit handlers first, but without taking the interpreter apart.

    With ZenML and scikit-learn loaded that takes two seconds, with Dagster one, in which somebody waits for nothing.
    A thread or a handler that takes longer than ``grace`` seconds is not waited for: what was asked for is done.
    """
    last_resort = threading.Timer(grace, _exit, (code,))
    last_resort.daemon = True
    last_resort.start()
    # As the interpreter does it. To join threads alone would wait for those of an idle ThreadPoolExecutor for ever.
    threading._shutdown()  # type: ignore[attr-defined]
    logging.shutdown()
    atexit._run_exitfuncs()
    _exit(code)


def _exit(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _fields(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None

"""Starting a process that outlives its parent, and ending it with everything that it has started."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from pwd import struct_passwd

from fair_dagster.domain.errors import ServiceError
from fair_dagster.net.processes import Process

_LOOK = 0.05
"""Seconds between two looks."""


@dataclass(frozen=True)
class Start:
    """What a process is started with. ``tied`` ends it when the thread that starts it dies, even by SIGKILL (Linux)."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    folder: Path
    log: Path
    user: struct_passwd | None = None
    tied: bool = False
    stop_signal: signal.Signals = signal.SIGTERM


# Handles of own children, to be waited for when they end: a zombie would keep its number.
_children: dict[int, subprocess.Popen[bytes]] = {}


def start(what: Start) -> Process:
    """Start a process as leader of a session of its own, deaf to the terminal and to the end of its parent.

    Raises:
        ServiceError: the program cannot be executed.
    """
    argv = [*_tie(what), *what.argv]
    switch: dict[str, object] = {}
    if what.user is not None:
        groups = os.getgrouplist(what.user.pw_name, what.user.pw_gid)
        switch = {"user": what.user.pw_uid, "group": what.user.pw_gid, "extra_groups": groups}
    with what.log.open("ab") as log:
        try:
            child = subprocess.Popen(  # type: ignore[call-overload]
                argv,
                env=dict(what.env),
                cwd=what.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **switch,
            )
        except OSError as error:
            raise ServiceError(f"{argv[0]} could not be started: {error}") from None
    _children[child.pid] = child
    return Process.of(child.pid)


def alive(process: Process) -> bool:
    child = _children.get(process.pid)
    if child is not None and child.poll() is not None:
        del _children[process.pid]
        return False
    return process.alive


def stop(process: Process, stop_signal: signal.Signals, seconds: float, *, whole_group: bool) -> bool:
    """End a process and its group: politely, and after ``seconds`` by SIGKILL.

    With ``whole_group`` the signal goes to all of them, else to the first, which then ends the others.

    Returns:
        Whether it was left to end by itself.
    """
    if alive(process):
        with suppress(ProcessLookupError):
            (os.killpg if whole_group else os.kill)(process.pid, stop_signal)
        gone = wait_for_end(process, seconds)
    else:
        gone = True
    kill(process, seconds)
    return gone


def kill(process: Process, seconds: float) -> None:
    """End a process and its group at once."""
    if _group_is_ours(process):
        process.kill_group()
        wait_for_end(process, seconds)
        _wait_for_group(process, seconds)


def wait_for_end(process: Process, seconds: float) -> bool:
    """Whether the process has ended within ``seconds``."""
    end = time.monotonic() + seconds
    while alive(process):
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK)
    return True


def _wait_for_group(process: Process, seconds: float) -> None:
    end = time.monotonic() + seconds
    while _group_is_ours(process) and time.monotonic() < end:
        time.sleep(_LOOK)


def _group_is_ours(process: Process) -> bool:
    """Whether something of the group that the process led is left.

    A number is not given to a new process while a group bears it. So where the number belongs to another process now,
    the group had ended.
    """
    now = Process.of(process.pid)
    if now.started and process.started and now.started != process.started:
        return False
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return not _has_zombies_only(process.pid)


def _has_zombies_only(group: int) -> bool:
    """Whether all of a group have ended.

    They keep its number: one of many threads for a moment, all where the first process of a container waits for none.
    """
    states = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # After the command's name, which may hold anything: state, parent, group; proc(5).
            state, _, of_group = stat.read_text().rpartition(")")[2].split()[:3]
            states += [state] if int(of_group) == group else []
    return bool(states) and set(states) == {"Z"}


def _tie(what: Start) -> list[str]:
    setpriv = shutil.which("setpriv")
    if not (what.tied and setpriv):
        return []
    tied = [setpriv, "--pdeathsig", what.stop_signal.name.removeprefix("SIG"), "--"]
    # The starter may have died before the tie held; the shell learns its parent afterwards.
    return [*tied, "/bin/sh", "-c", 'test "$PPID" = "$0" && exec "$@"', str(os.getpid())]

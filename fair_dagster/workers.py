"""Runs that the daemon launched and whose process is gone, with the code server that would have told of it.

Dagster learns from a code server that a run's process has died. When both died, by SIGKILL or a power failure, the run
goes on by the book for ever and keeps its place in the queue. Nothing here knows what a run does.
"""

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

import dagster as dg
from dagster._core.storage.tags import GRPC_INFO_TAG  # Where Dagster notes the code server; exported nowhere.

from fair_dagster.processes import Process

_GOING = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_CONNECT_SECONDS = 2.0
_LOOKED_AT = 100
_LATER_SECONDS = 2.0


def end_lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report runs as failed whose code server and process are both gone; returns their ids.

    The failure is one of the infrastructure: where Dagster retries those, the run is launched again. Runs on other
    machines, and runs that another launcher has started, are left alone.
    """
    lost = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=_GOING), limit=_LOOKED_AT):
        run = record.dagster_run
        since = record.start_time or record.create_timestamp.timestamp()
        if not _server_is_gone(run) or _worker_is_there(instance, run.run_id, since):
            continue
        # It may have ended well since its status was read.
        current = instance.get_run_by_id(run.run_id)
        if current is not None and current.status in _GOING:
            instance.report_run_failed(current, "its process was killed, and its code server with it")
            lost.append(run.run_id)
    return lost


def _server_is_gone(run: dg.DagsterRun) -> bool:
    """Whether nobody answers where the code server of a run was, on this machine."""
    address = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
    if path := address.get("socket"):
        family, target = socket.AF_UNIX, path
    elif address.get("port") and address.get("host") in _LOCAL_HOSTS:
        family, target = socket.AF_INET, ("127.0.0.1", address["port"])
    else:
        return False
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(_CONNECT_SECONDS)
        try:
            client.connect(target)
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        except OSError:
            # Too busy to answer is not gone.
            return False
    return False


def _worker_is_there(instance: dg.DagsterInstance, run_id: str, since: float) -> bool:
    """Whether the run's own process, which outlives its code server, goes on. ``since``: the run's start, Unix time."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        pid = event.engine_event_data.metadata.get("pid") if event is not None else None
        text = str(pid.value) if pid is not None else ""
        if text.isdigit() and Process.of(int(text)).alive and _began(int(text)) <= since + _LATER_SECONDS:
            return True
    return False


def _began(pid: int) -> float:
    """When a process began, Unix time; 0 where that cannot be known. A later one has the number of a dead one."""
    with suppress(OSError, ValueError):
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return time.time() - uptime + int(Process.of(pid).started) / os.sysconf("SC_CLK_TCK")
    return 0.0

"""Runs that the daemon launched and whose process is gone, with the code server that would have told of it.

Dagster learns from a code server that a run's process has died. When both died, by SIGKILL or a power failure, the run
goes on by the book for ever and keeps its place in the queue. Nothing here knows what a run does.
"""

import json
import socket
from functools import cache

import dagster as dg
from dagster._core.storage.tags import GRPC_INFO_TAG  # Where Dagster notes the code server; exported nowhere.

from fair_dagster.runs.process_tags import process_of

_GOING = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_CONNECT_SECONDS = 2.0
_LOOKED_AT = 100


def end_lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report runs as failed whose code server and process are both gone; returns their ids.

    The failure is one of the infrastructure: where Dagster retries those, the run is launched again. Only runs that
    noted a process of this machine are touched. The address of a code server says nothing of the machine: each has its
    own ``localhost``, and its own files of sockets. A run that died before it noted anything is still starting by the
    book, and Dagster ends those itself (``run_monitoring``).
    """
    lost = []
    server_is_gone = cache(_nobody_answers)
    for record in instance.get_run_records(dg.RunsFilter(statuses=_GOING), limit=_LOOKED_AT):
        run = record.dagster_run
        process = process_of(run)
        if process is None or process.alive or not server_is_gone(run.tags.get(GRPC_INFO_TAG, "{}")):
            continue
        # It may have ended well since its status was read.
        current = instance.get_run_by_id(run.run_id)
        if current is not None and current.status in _GOING:
            instance.report_run_failed(current, "its process was killed, and its code server with it")
            lost.append(run.run_id)
    return lost


def serves_its_machine_only(run: dg.DagsterRun) -> bool:
    """Whether the code server that launched ``run`` cannot be reached from another machine."""
    return _local_address(run.tags.get(GRPC_INFO_TAG, "{}")) is not None


def _local_address(noted: str) -> tuple[socket.AddressFamily, str | tuple[str, int]] | None:
    """Where on its machine a code server is; None for one that others reach as well, and where none was noted."""
    address = json.loads(noted)
    if path := address.get("socket"):
        return socket.AF_UNIX, path
    if address.get("port") and address.get("host") in _LOCAL_HOSTS:
        return socket.AF_INET, ("127.0.0.1", address["port"])
    return None


def _nobody_answers(noted: str) -> bool:
    """Whether nobody answers on this machine where a code server was; False where it was not on one machine only."""
    found = _local_address(noted)
    if found is None:
        return False
    family, target = found
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

"""Runs that the daemon launched and whose process is gone, with the code server that would have told of it.

Dagster learns from a code server that a run's process has died. When both died, by SIGKILL or a power failure, the run
goes on by the book for ever and keeps its place in the queue. Nothing here knows what a run does.
"""

import json
import socket
import time
from functools import cache

import dagster as dg
from dagster._core.storage.tags import GRPC_INFO_TAG  # Where Dagster notes the code server; exported nowhere.

from fair_dagster.orchestration.process_tags import machine_of, process_of

_GOING = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_CONNECT_SECONDS = 2.0
_LOOKED_AT = 100
_NOTED_WITHIN_SECONDS = 180.0


def end_lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report runs as failed whose code server and process are both gone; returns their ids.

    The failure is one of the infrastructure: where Dagster retries those, the run is launched again. Runs that noted a
    process of another machine are left alone. The address of a code server says nothing of the machine: each has its
    own ``localhost``, and its own files of sockets. A run notes its process a moment after it counts as started: one
    that has not done so in minutes died in between, wherever it was. Of those that never started Dagster takes care
    itself (``run_monitoring``).
    """
    lost = []
    server_is_gone = cache(_nobody_answers)
    for record in instance.get_run_records(dg.RunsFilter(statuses=_GOING), limit=_LOOKED_AT):
        run = record.dagster_run
        if not _is_dead(record) or not server_is_gone(run.tags.get(GRPC_INFO_TAG, "{}")):
            continue
        # It may have ended well since its status was read.
        current = instance.get_run_by_id(run.run_id)
        if current is not None and current.status in _GOING:
            instance.report_run_failed(current, "its process was killed, and its code server with it")
            lost.append(run.run_id)
    return lost


def _is_dead(record: dg.RunRecord) -> bool:
    """Whether the process of a run has ended for certain."""
    run = record.dagster_run
    if machine_of(run) is None:
        started = record.start_time if run.status == dg.DagsterRunStatus.STARTED else None
        return started is not None and time.time() - started > _NOTED_WITHIN_SECONDS
    process = process_of(run)
    return process is not None and not process.alive


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

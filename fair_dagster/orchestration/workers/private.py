"""What a run launcher is made of and Dagster exports nowhere; the only module of ``workers`` that imports it.

A run launcher of one's own cannot be written, nor a run be put into Dagster's queue without asking the web server, by
public names alone. ``tests/orchestration/workers/test_private.py`` says what is relied on.
"""

from typing import Any

from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import unpack_value

__all__ = ["CheckRunHealthResult", "LaunchRunContext", "WorkerStatus", "job_origin", "run_of_message"]

_REPOSITORY = "__repository__"
"""Dagster's name for the definitions of a code location."""


def job_origin(location: str, job: str) -> RemoteJobOrigin:
    """Where the daemon finds the job of a run: in the code location of that name."""
    return RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), _REPOSITORY), job)


def run_of_message(packed: dict[str, Any]) -> str:
    """The id of the run that a message of dagster-celery's launcher is about."""
    return unpack_value(packed, as_type=ExecuteRunArgs).run_id

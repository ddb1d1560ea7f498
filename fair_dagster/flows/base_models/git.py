"""Running the ``git`` executable so that no repository can make it do more than it was asked for.

Knows processes and their environment, not what is asked of git.
"""

import logging
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from fair_dagster.domain import urls
from fair_dagster.domain.errors import ServiceError

_LOG = logging.getLogger(__name__)
_SAFE = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "core.autocrlf=false", "gc.auto=0")
_PROTOCOLS = "file:git:http:https:ssh"
# What git would take for the repository that a process stands in, e.g. inside a hook.
_FOREIGN = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_CEILING_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_DIR",
        "GIT_INDEX_FILE",
        "GIT_NAMESPACE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    }
)


def run(
    arguments: Sequence[str], folder: Path, *, timeout: float, variables: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[bytes]":
    """Run git in ``folder``: without hooks, questions, patterns in paths, and protocols that start programs.

    Args:
        timeout: in seconds.
        variables: of the environment, beyond those of this process.

    Raises:
        ServiceError: git is not there, or did not end in time.
    """
    options = [part for setting in _SAFE for part in ("-c", setting)]
    environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": _PROTOCOLS, "LC_ALL": "C"}
    _LOG.debug("git %s", redacted(" ".join(arguments)))
    try:
        return subprocess.run(
            ["git", "--literal-pathspecs", *options, *arguments],
            cwd=folder,
            env={**environment, **(variables or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
            # Without a terminal ssh cannot ask for a password either.
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise ServiceError(
            f"git did not answer within {timeout:.0f} s; "
            "the first fetch of a large repository is done by: fair-dagster base-model sync"
        ) from error
    except OSError as error:
        raise ServiceError(f"git cannot be started ({error.strerror or error}): install it") from error


def reason(done: "subprocess.CompletedProcess[bytes]") -> str:
    """Why git exited with an error, in its own words."""
    said = redacted(done.stderr.decode(errors="replace")).strip().splitlines()
    lines = [line for line in said if line.startswith(("fatal:", "error:"))] or said[-1:] or ["no reason given"]
    return "; ".join(lines[:3])


def redacted(text: str) -> str:
    """``text`` without the user names and passwords of its URLs."""
    return urls.redact(text)

"""Virtual environments for peers, made once and kept: their dependencies never meet ours."""

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.report import note
from fair_dagster.settings import Settings

PEER = "fair-py-ops==0.3.19"
"""The registry that this one is compared with."""


class PeerUnavailableError(Exception):
    """A peer could not be installed, e.g. without network. The text says why."""


def peer_python(name: str, *requirements: str) -> Path:
    """The interpreter of an environment that holds ``requirements``, from the index that the user has
    configured.

    Raises:
        PeerUnavailableError: it could not be made.
    """
    folder = Settings().home / "cache" / "bench" / name
    python = folder / "bin" / "python"
    ready, wanted = folder / ".ready", "\n".join(requirements)
    if ready.exists() and ready.read_text() == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    note(f"installing {', '.join(requirements)} into an environment of its own, once …")
    uv = shutil.which("uv")
    if uv:
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
        _run([uv, "pip", "install", "--quiet", "--python", str(python), *requirements])
    else:
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", *requirements])
    ready.write_text(wanted)
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise PeerUnavailableError(f"{command[0]} failed: {''.join(last)}")

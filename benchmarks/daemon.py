"""The real Dagster daemon on an installation, as a process group that is ended for certain."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from fair_dagster.fair import Fair
from fair_dagster.settings import Settings

_PATIENCE_SECONDS = 20


def copy_of(settings: Settings, home: Path) -> Settings:
    """The installation of ``settings`` once more under ``home``: what happens there leaves the first as it is."""
    shutil.copytree(settings.home, home, symlinks=True)
    config = home / "zenml" / "config.yaml"
    # ZenML notes the absolute path of its database. Artifacts keep theirs: they are only read.
    config.write_text(config.read_text().replace(str(settings.home), str(home)))
    return settings.model_copy(update={"home": home})


class Daemon:
    """``dagster-daemon run`` with its code server and the runs they launch, for use in a ``with`` statement.

    Args:
        environment: ``FAIR_*`` variables over those of ``settings``; an empty one is left out.
        log: file that everything it prints is added to.
    """

    def __init__(self, settings: Settings, log: Path, **environment: str) -> None:
        self.log = log
        own = settings.environment() | {"DAGSTER_HOME": str(settings.dagster_path)} | environment
        self._environment = {name: value for name, value in (os.environ | own).items() if value}
        self._process: subprocess.Popen[bytes] | None = None
        Fair(settings).init()

    def start(self) -> None:
        command = [sys.executable, "-m", "dagster._daemon", "run", "-m", "fair_dagster.definitions"]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command, env=self._environment, stdout=output, stderr=output, start_new_session=True
            )

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL to the daemon, its code server and the runs: what a power failure does to them."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, signum: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_SECONDS)
        # What it has started may outlive it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

"""A ``FAIR_HOME`` of a test, and `scripts/services` as people call it."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from scripts.local_services.home import Home
from scripts.local_services.supervisor import Status, Supervisor

SCRIPT = Path(__file__).parents[2] / "scripts" / "services"


@dataclass(frozen=True)
class Installation:
    """A ``FAIR_HOME`` and what `scripts/services` does to it."""

    home: Path

    @property
    def folder(self) -> Path:
        return self.home / "services"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "FAIR_HOME": str(self.home), "COLUMNS": "200"}

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Call the script, which must end with ``code``."""
        done = subprocess.run(
            [str(SCRIPT), *arguments], env=self.environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == code, f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    @property
    def supervisor(self) -> Supervisor:
        """The same servers, in this process: the script takes half a second to begin."""
        return Supervisor(Home(self.folder))

    def status(self, name: str) -> Status:
        return self.supervisor.status([name])[0]

    def sourced(self) -> dict[str, str]:
        """The environment of a shell that has sourced the file."""
        script = f". {self.folder / 'env'}; env -0"
        shown = subprocess.run(["bash", "-c", script], env={"PATH": os.defpath}, capture_output=True, check=True).stdout
        return dict(line.split("=", 1) for line in shown.decode().split("\0") if line)

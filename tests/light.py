"""The wheel, installed the way a backend installs it: with what its base dependencies name and nothing else.

Packages are links into this environment, so that nothing is asked of an index.
"""

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fair_dagster.settings import PROJECT_ROOT


@dataclass(frozen=True)
class Light:
    """A virtual environment with the wheel."""

    python: Path

    def call(self, *arguments: str, home: Path, models: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Call ``fair-dagster`` in it."""
        program = "from fair_dagster.cli import main; main()"
        return self.run("-c", program, *arguments, home=home, models=models)

    def run(self, *words: str, home: Path, models: Path | None = None) -> subprocess.CompletedProcess[str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("FAIR_", "PYTHON"))}
        own |= {"FAIR_HOME": str(home), "FAIR_OFFLINE": "true"} | ({"FAIR_MODELS": str(models)} if models else {})
        command = [str(self.python), *words]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=200, cwd=home.parent, env=own
        )


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, check=True, capture_output=True, cwd=PROJECT_ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Light:
    """A virtual environment in ``folder`` with ``wheel`` and its base dependencies."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (metadata,) = packages.glob("*.dist-info")
    for found in _needed(Distribution.at(metadata)):
        for name in {file.parts[0] for file in found.files or () if ".." not in file.parts}:
            link = packages / name
            if not link.exists():
                link.symlink_to(Path(str(found.locate_file(name))))
    return Light(folder / "bin" / "python")


def base_dependencies() -> set[str]:
    """The distributions that the project's base dependencies bring, with what they need themselves."""
    return {canonicalize_name(found.metadata["Name"]) for found in _needed(distribution("fair-dagster"))}


def _needed(root: Distribution) -> Iterator[Distribution]:
    """What ``root`` needs without an extra, each distribution once."""
    waiting, seen = [(root, frozenset[str]())], set[tuple[str, str]]()
    while waiting:
        current, extras = waiting.pop()
        for requirement in map(Requirement, current.requires or ()):
            wanted = (
                any(requirement.marker.evaluate({"extra": extra}) for extra in extras | {""})
                if requirement.marker
                else True
            )
            if not wanted:
                continue
            name = canonicalize_name(requirement.name)
            new = {(name, extra) for extra in (*requirement.extras, "")} - seen
            if not new:
                continue
            found = distribution(name)
            if not any(known == name for known, _ in seen):
                yield found
            seen |= new
            waiting.append((found, frozenset(requirement.extras)))

"""Registries for tests: fakes, proxies that misbehave, and clients of the real ones, which are servers of all tests."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.registries import Registries
from tests.oci.faults import Faults, faulty_registry
from tests.oci.fixtures import place, registries
from tests.oci.servers import Fake, Script, fake_registry
from tests.services.servers import RegistryServer, unavailable

__all__ = ["place", "registries"]

OMLMD = "omlmd==0.1.6"


@pytest.fixture
def fake() -> Iterator[Fake]:
    with ExitStack() as stack:

        def start(**script: Any) -> tuple[str, Script]:
            made = Script(**script)
            return stack.enter_context(fake_registry(made)), made

        yield start


@pytest.fixture
def faulty(docker_registry: RegistryServer, place: Reference) -> Iterator[tuple[Registries, Reference, Faults]]:
    """A client of a proxy before the real registry, the same tag as ``place`` behind it, and the proxy's orders."""
    with faulty_registry(docker_registry.url) as (host, faults):
        made = Registries((host,), lambda _: None)
        yield made, Reference.parse(f"{host}/{place.repository}:{place.tag}"), faults
        made.close()


@pytest.fixture(scope="session")
def omlmd() -> Path:
    """The command of omlmd, in an environment of its own that is made once a machine."""
    folder = Path(tempfile.gettempdir()) / f"fair-peers-{os.getuid()}" / OMLMD.replace("==", "-")
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / ".ready").exists():
            _install(folder, OMLMD)
            (folder / ".ready").touch()
    return folder / "bin" / "omlmd"


def _install(folder: Path, requirement: str) -> None:
    """Make an environment: by uv where it can, which takes a second, else by pip."""
    python, here = str(folder / "bin" / "python"), Path(sys.executable)
    uv = str(here.with_name("uv"))
    by_uv = [[uv, "venv", "-q", "--python", str(here), str(folder)], [uv, "pip", "install", "-q", "--python", python]]
    by_pip = [[str(here), "-m", "venv", str(folder)], [python, "-m", "pip", "install", "-q"]]
    problem = ""
    for made, install in (by_uv, by_pip):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            for step in (made, [*install, requirement]):
                subprocess.run(step, capture_output=True, text=True, check=True)
        except OSError as error:
            problem = str(error)
        except subprocess.CalledProcessError as error:
            problem = "".join(error.stderr.strip().splitlines()[-1:])
        else:
            return
    unavailable(f"{requirement} cannot be installed: {problem}")

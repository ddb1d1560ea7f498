"""Programs of others with which tests read what is written to servers. None of them is a server, and none is needed to
run any.
"""

from collections.abc import Iterable
from pathlib import Path

from fair_dagster.domain.errors import ServiceError
from scripts.local_services.machine import Machine

PACKAGES = {"skopeo": "skopeo", "umoci": "umoci", "busybox": "busybox-static"}
"""Debian's packages, by program."""


def install_readers(machine: Machine, log: Path, names: Iterable[str] = tuple(PACKAGES)) -> None:
    """Install those of ``names`` that are missing.

    Raises:
        ServiceError: they cannot be had here; with the names of the packages.
    """
    wanted = set(names)
    missing = [package for name, package in PACKAGES.items() if name in wanted and machine.program(name) is None]
    if missing:
        machine.install(missing, log)


def reader(machine: Machine, name: str) -> Path:
    """Where a program is.

    Raises:
        ServiceError: it is not here.
    """
    found = machine.program(name)
    if found is None:
        raise ServiceError(f"the program {name!r} is not here: install {PACKAGES[name]}")
    return found

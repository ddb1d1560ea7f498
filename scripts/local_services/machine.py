"""What this machine has: programs, users, packages; and installing what is missing, as root on Debian.

Nothing here knows a server.
"""

import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from fair_dagster.domain.errors import ServiceError

_KEPT = ("LANG", "LC_ALL", "TMPDIR", "TZ", "SSL_CERT_FILE", "LD_LIBRARY_PATH")
POLICY = Path("/usr/sbin/policy-rc.d")
_BAN = b"#!/bin/sh\n# Of fair-dagster's scripts/services while it installs packages; else a leftover of it.\nexit 101\n"
_APT = ("-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3")


def _search_path() -> tuple[Path, ...]:
    found = (Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder)
    # Debian keeps servers out of the PATH of people who are not root.
    return (Path(sys.executable).parent, *found, Path("/usr/local/sbin"), Path("/usr/sbin"), Path("/sbin"))


@dataclass(frozen=True)
class Machine:
    """This machine as its servers see it. Another one can be made up for a test."""

    search: tuple[Path, ...] = field(default_factory=_search_path)
    root: bool = field(default_factory=lambda: os.geteuid() == 0)
    debian: bool = field(default_factory=lambda: bool(shutil.which("apt-get")) and Path("/etc/debian_version").exists())
    postgres: Path = Path("/usr/lib/postgresql")
    """Where Debian keeps the programs of each version of PostgreSQL."""

    def program(self, name: str) -> Path | None:
        """Where a program lies: in the virtual environment, in the PATH, or where Debian keeps servers."""
        found = shutil.which(name, path=os.pathsep.join(map(str, self.search)))
        return Path(found) if found else None

    def environment(self, home: Path) -> dict[str, str]:
        """What every server gets: nothing of the caller's settings and credentials."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return {"PATH": os.pathsep.join(map(str, self.search)), "HOME": str(home), "PYTHONUNBUFFERED": "1"} | kept

    def user(self, name: str) -> pwd.struct_passwd | None:
        """The system user a server must run as, because it refuses root; None where the caller's own serves."""
        if not self.root or not name:
            return None
        with suppress(KeyError):
            return pwd.getpwnam(name)
        raise ServiceError(f"this machine has no user {name!r}, which Debian's package makes: install the package anew")

    def check_reachable(self, folder: Path, name: str) -> None:
        """See that a server's user can enter a folder.

        Raises:
            ServiceError: a folder above is closed to it.
        """
        user = self.user(name)
        if user is None:
            return
        for parent in reversed(folder.parents):
            if parent.exists() and not _may_enter(parent.stat(), user):
                raise ServiceError(
                    f"the server does not run as root but as user {name!r}, who may not enter {parent}: choose a "
                    f"FAIR_HOME elsewhere (export FAIR_HOME=/srv/fair), or allow it with 'chmod o+x {parent}'"
                )

    def install(self, packages: Iterable[str], log: Path, report: Callable[[str], None] = lambda _: None) -> None:
        """Install Debian packages without starting what they bring. ``report`` gets a line before it begins.

        Raises:
            ServiceError: not root or not Debian, or apt-get failed.
        """
        wanted = sorted(set(packages))
        if not (self.root and self.debian):
            raise ServiceError(
                f"Debian's packages {', '.join(wanted)} are missing and can only be installed as root on Debian: "
                f"run 'apt-get install {' '.join(wanted)}' as root, or install the same servers by other means"
            )
        report(f"installing {', '.join(wanted)} (what apt-get says: {log})")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        # Two homes at once: the one that ends first would lift the ban on starting for the other.
        with FileLock("/run/lock/fair-services-install.lock"), _nothing_is_started():
            for arguments in (["update"], ["install", "-y", "--no-install-recommends", *wanted]):
                run(["apt-get", *_APT, *arguments], output_to=log, env=environment, timeout=900)


def run(argv: list[str], *, output_to: Path, output: bool = False, timeout: float = 120, **others: Any) -> str:
    """Run a program to its end, what it says into a log. With ``output``, what it prints is given instead.

    Raises:
        ServiceError: it failed or took longer than ``timeout`` seconds; with the end of what it said.
    """
    name = Path(argv[1] if argv[0] == sys.executable else argv[0]).name
    with output_to.open("ab") as log:
        begun = log.tell()
        try:
            printed = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if output else log,
                stderr=log if output else subprocess.STDOUT,
                check=True,
                timeout=timeout,
                **others,
            ).stdout
        except subprocess.CalledProcessError as error:
            said = output_to.read_bytes()[begun:].decode(errors="replace")
            end = "\n".join(said.splitlines()[-15:])
            raise ServiceError(f"{name} ended with {error.returncode}:\n{end}\n(all of it: {output_to})") from None
        except subprocess.TimeoutExpired:
            raise ServiceError(f"{name} did not end within {timeout:.0f} s: see {output_to}") from None
        except OSError as error:
            raise ServiceError(f"{argv[0]} could not be run: {error}") from None
    return printed.decode() if output else ""


@contextmanager
def _nothing_is_started() -> Iterator[None]:
    """Keep Debian's packages from starting their servers; see invoke-rc.d(8).

    A policy that somebody else has made is kept, and decides. What a killed installation has left is lifted at the end.
    """
    if POLICY.exists() and POLICY.read_bytes() != _BAN:
        yield
        return
    POLICY.write_bytes(_BAN)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def _may_enter(folder: os.stat_result, user: pwd.struct_passwd) -> bool:
    if folder.st_uid == user.pw_uid:
        return bool(folder.st_mode & stat.S_IXUSR)
    if folder.st_gid in os.getgrouplist(user.pw_name, user.pw_gid):
        return bool(folder.st_mode & stat.S_IXGRP)
    return bool(folder.st_mode & stat.S_IXOTH)

"""What every server has in common: what it needs, how it is prepared, started, asked and used."""

import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from scripts.local_services.commands import COMMANDS, Command
from scripts.local_services.home import HOST, Home
from scripts.local_services.machine import Machine


class Service(ABC):
    """One server of a home. Subclasses say what is particular; nothing here starts a process."""

    key: ClassVar[str]
    """Its name in the commands, and its own where a home has one of the kind."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Servers that must answer before this one is started."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Debian's packages that bring the program."""
    user: ClassVar[str] = ""
    """The system user it runs as when the caller is root."""
    seconds: ClassVar[float] = 60
    """How long it may take to answer."""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    stop_seconds: ClassVar[float] = 15
    stop_whole_group: ClassVar[bool] = True
    """Whether its processes want the signal all; else the first ends the others."""
    by_default: ClassVar[bool] = True

    def __init__(self, home: Home, machine: Machine, *, name: str = "", durable: bool = True) -> None:
        """``durable=False`` is for tests: nothing need survive a failure of the machine."""
        self.name = name or self.key
        self.home = home
        self.machine = machine
        self.durable = durable

    @property
    def port(self) -> int:
        return self.home.port(self.name)

    @property
    def data(self) -> Path:
        return self.home.data(self.name)

    @property
    def url(self) -> str:
        """Where it answers, without credentials."""
        return f"http://{HOST}:{self.port}"

    @property
    def argv(self) -> tuple[str, ...]:
        return COMMANDS[self.key].argv

    def secret(self, key: str) -> str:
        return self.home.secret(self.name, key)

    def program(self) -> Path | None:
        """The program to start; None where it is missing."""
        return self.machine.program(self.argv[0])

    def lacks(self) -> str:
        """What to do where the program is missing."""
        if self.packages:
            return f"the program {self.argv[0]!r} is not here: install {' '.join(self.packages)}"
        return (
            f"the program {self.argv[0]!r} is not in the virtual environment: install the extra 'services' "
            "('make install')"
        )

    def values(self) -> Mapping[str, str]:
        """What its command needs beside host, port and data folder."""
        return {}

    def command(self) -> Command:
        """The command with its values filled in. The program is still only named."""
        common = {"host": HOST, "port": str(self.port), "data": str(self.data)}
        return COMMANDS[self.key].filled({**common, **self.values()})

    def prepare(self) -> None:
        """Make what must be there before the start. Runs before every start, and changes nothing the second time."""
        self.data.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def problem(self) -> str:
        """Why it does not serve now, in a few words; empty where it does."""

    def provision(self) -> None:  # noqa: B027, most servers need nothing
        """Make what can only be made in the running server: databases, keys. Changes nothing the second time."""

    def variables(self) -> Mapping[str, str]:
        """The environment under which a client finds it."""
        return {}

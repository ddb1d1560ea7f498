"""Starting, watching and stopping the servers of a home. How one server differs from another is said in `servers`."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fair_dagster.domain.errors import FairError, NotFoundError, ServiceError
from fair_dagster.processes import Process
from scripts.local_services import processes
from scripts.local_services.environment import write_environment
from scripts.local_services.home import Home, is_free
from scripts.local_services.machine import Machine
from scripts.local_services.servers import SERVICES
from scripts.local_services.service import Service

_LOOK = 0.1
_TELL = 10.0
"""Seconds between two lines that say that a server is still being waited for."""
_PORTS_TRIED = 3

State = Literal["running", "not answering", "died", "stopped"]


@dataclass(frozen=True)
class Outcome:
    """What became of one server in `Supervisor.up`. ``error`` is empty where it answers."""

    name: str
    seconds: float
    error: str = ""
    started: bool = False


@dataclass(frozen=True)
class Status:
    """One server now. ``pid`` is 0 where it has no process; ``problem`` says why it does not serve."""

    name: str
    state: State
    url: str
    pid: int
    log: Path
    problem: str = ""


class Supervisor:
    """The servers of one home.

    Args:
        home: where they live.
        machine: what this machine has.
        tied: end them when the calling thread ends, even by SIGKILL. For tests, which start them one after another.
        durable: whether what they keep must survive a failure of the machine.
        report: gets a line a time, while one waits.
    """

    def __init__(
        self,
        home: Home,
        machine: Machine | None = None,
        *,
        tied: bool = False,
        durable: bool = True,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.home = home
        self.machine = machine or Machine()
        self.tied = tied
        self.report = report
        self.services: dict[str, Service] = {
            name: kind(home, self.machine, durable=durable) for name, kind in SERVICES.items()
        }

    # Many servers

    def up(self, names: Sequence[str] = ()) -> list[Outcome]:
        """Start servers and those that they need, side by side; those that run are left alone.

        One that fails is told in its outcome and hides no other.

        Raises:
            NotFoundError: there is no server of a name.
        """
        chosen = self._with_needs(self.named(names))
        self.home.make()
        with self.home.lock:
            missing = self.install(chosen)
            with ThreadPoolExecutor(len(chosen)) as pool:
                running: dict[str, Future[Outcome]] = {}
                for name in chosen:
                    needed = {need: running[need] for need in self.services[name].needs}
                    running[name] = pool.submit(self._try, name, needed, missing.get(name, ""))
                outcomes = [running[name].result() for name in chosen]
            write_environment(self.home, self.running())
        return outcomes

    def down(self, names: Sequence[str] = ()) -> list[str]:
        """Stop servers, and those that need them first. Gives the names of those that ran.

        Raises:
            NotFoundError: there is no server of a name.
        """
        chosen = set(self._chosen(names, list(self.services)))
        for name, service in self.services.items():
            if chosen.intersection(service.needs):
                chosen.add(name)
        if not self.home.path.is_dir():
            return []
        with self.home.lock:
            return [name for name in reversed(list(self.services)) if name in chosen and self.stop(name)]

    def status(self, names: Sequence[str] = ()) -> list[Status]:
        """What each server does now; changes nothing."""
        with ThreadPoolExecutor(len(self.services)) as pool:
            return list(pool.map(self._status, self._chosen(names, list(self.services))))

    def running(self) -> list[Service]:
        """The servers whose process is alive."""
        return [service for name, service in self.services.items() if self._process(name)]

    def install(self, names: Iterable[str]) -> dict[str, str]:
        """Install what servers lack, all at once. Gives the reason for each server that still lacks something."""
        lacking = [self.services[name] for name in names if self.services[name].program() is None]
        packages = {package for service in lacking for package in service.packages}
        failure = ""
        if packages:
            self.report(f"missing here: {', '.join(sorted(packages))}")
            try:
                self.machine.install(packages, self.home.path / "logs" / "apt.log")
            except FairError as error:
                failure = str(error)
        return {
            service.name: (failure if service.packages else "") or _lacks(service)
            for service in lacking
            if service.program() is None
        }

    # One server

    def start(self, name: str) -> bool:
        """See that one server answers and has what clients need. Its needs must answer already.

        Returns:
            Whether a process was started.

        Raises:
            ServiceError: it cannot be started, or does not answer in its time; with the end of its log.
        """
        service = self.services[name]
        self.home.make()
        started = False
        if not self._runs_as_it_should(service):
            for attempt in range(1, _PORTS_TRIED + 1):
                started = True
                if self._launch(service, last=attempt == _PORTS_TRIED):
                    break
        else:
            self._wait(service)
        service.provision()
        return started

    def stop(self, name: str) -> bool:
        """Stop one server with all its processes. Gives whether there was something to stop."""
        service, process = self.services[name], self.home.process(name)
        if process is None:
            return False
        ran = processes.alive(process)
        if not processes.stop(process, service.stop_signal, service.stop_seconds, whole_group=service.stop_whole_group):
            self.report(f"{name}: did not end within {service.stop_seconds:.0f} s and was killed")
        self.home.note_process(name, None)
        return ran

    def kill(self, name: str) -> None:
        """End one server as a failure would: at once, with nothing put in order. It counts as died."""
        process = self.home.process(name)
        if process is not None:
            process.kill_group()
            processes.wait_for_end(process, self.services[name].stop_seconds)

    def _runs_as_it_should(self, service: Service) -> bool:
        """Whether its process is alive and was started with the present command; one started otherwise is stopped."""
        if not self._process(service.name):
            return False
        if self.home.note(service.name) == _digest(service):
            return True
        self.report(f"{service.name}: starting anew, because its settings have changed")
        self.stop(service.name)
        return False

    def _launch(self, service: Service, *, last: bool) -> bool:
        """Start a server and wait until it answers. False when its port was taken by another while it started."""
        name = service.name
        # What a server that died has left behind.
        self.stop(name)
        program = service.program()
        if program is None:
            raise ServiceError(_lacks(service))
        if not is_free(service.port):
            taken = service.port
            self.report(
                f"{name}: port {taken} is taken by another program; it gets {self.home.new_port(name)} from now on"
            )
        self.home.turn_log(name)
        service.prepare()
        command = service.command()
        process = processes.start(
            processes.Start(
                (str(program), *command.argv[1:]),
                {**self.machine.environment(self.home.data(name)), **command.env},
                self.home.path,
                self.home.log(name),
                user=self.machine.user(service.user),
                tied=self.tied,
                stop_signal=service.stop_signal,
            )
        )
        self.home.note_process(name, process, _digest(service))
        try:
            self._wait(service)
        except ServiceError:
            if last or processes.alive(process) or is_free(service.port):
                raise
            return False
        return True

    def _wait(self, service: Service) -> None:
        """Wait until a server answers, as long as its process lives."""
        begun = told = time.monotonic()
        while problem := service.problem():
            now = time.monotonic()
            if not self._process(service.name):
                raise ServiceError(self._story(service, "ended before it answered"))
            if now - begun > service.seconds:
                raise ServiceError(self._story(service, f"does not answer after {service.seconds:.0f} s ({problem})"))
            if now - told > _TELL:
                told = now
                self.report(f"{service.name}: waiting for it to answer ({now - begun:.0f} s)")
            time.sleep(_LOOK)
        # Another server may have answered in its place.
        if not self._process(service.name):
            raise ServiceError(self._story(service, "ended, and another program answers at its port"))

    def _story(self, service: Service, what: str) -> str:
        tail = self.home.log_tail(service.name)
        return f"{service.name} {what}. The end of {self.home.log(service.name)}:\n{tail or '(it is empty)'}"

    def _try(self, name: str, needed: dict[str, "Future[Outcome]"], missing: str) -> Outcome:
        failed = [need for need, future in needed.items() if future.result().error]
        begun = time.monotonic()
        if failed or missing:
            return Outcome(name, 0.0, missing or f"was not started, because {' and '.join(failed)} failed")
        try:
            started = self.start(name)
        except FairError as error:
            return self._told(Outcome(name, time.monotonic() - begun, str(error)))
        except Exception as error:  # A fault of one server, or of ours, must not hide what became of the others.
            return self._told(Outcome(name, time.monotonic() - begun, f"{type(error).__name__}: {error}"))
        return self._told(Outcome(name, time.monotonic() - begun, started=started))

    def _told(self, outcome: Outcome) -> Outcome:
        if outcome.error:
            self.report(f"{outcome.name}: failed")
        else:
            url = self.services[outcome.name].url
            what = f"ready after {outcome.seconds:.0f} s" if outcome.started else "runs already"
            self.report(f"{outcome.name}: {what} at {url}")
        return outcome

    def _status(self, name: str) -> Status:
        service, process = self.services[name], self.home.process(name)
        log = self.home.log(name)
        if process is None:
            return Status(name, "stopped", "", 0, log)
        if not processes.alive(process):
            return Status(
                name, "died", service.url, 0, log, "its process has ended: 'scripts/services up' starts it anew"
            )
        problem = service.problem()
        return Status(name, "not answering" if problem else "running", service.url, process.pid, log, problem)

    def _process(self, name: str) -> Process | None:
        process = self.home.process(name)
        return process if process is not None and processes.alive(process) else None

    def named(self, names: Sequence[str] = ()) -> list[str]:
        """The servers of these names, or those that are started when none is named.

        Raises:
            NotFoundError: there is no server of a name.
        """
        return self._chosen(names, [name for name, service in self.services.items() if service.by_default])

    def _chosen(self, names: Sequence[str], default: list[str]) -> list[str]:
        unknown = [name for name in names if name not in self.services]
        if unknown:
            raise NotFoundError(
                "server", [f"there is no {name!r}: the servers are {', '.join(self.services)}" for name in unknown]
            )
        return [name for name in self.services if name in (names or default)]

    def _with_needs(self, names: list[str]) -> list[str]:
        needed = set(names)
        for name in reversed(list(self.services)):
            if name in needed:
                needed.update(self.services[name].needs)
        return [name for name in self.services if name in needed]


def _lacks(service: Service) -> str:
    program = service.argv[0]
    if service.packages:
        return f"the program {program!r} of {service.name} is not here: install {' '.join(service.packages)}"
    return f"the program {program!r} is not in the virtual environment: install the extra 'services' ('make install')"


def _digest(service: Service) -> str:
    """Tells whether a running process was started with the present command, without keeping passwords."""
    command = service.command()
    return hashlib.sha256(json.dumps([command.argv, dict(command.env)]).encode()).hexdigest()[:16]

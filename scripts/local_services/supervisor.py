"""The servers of a home together: which need which, side by side, and what became of each. One alone is in `runner`."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fair_dagster.domain.errors import FairError, NotFoundError
from scripts.local_services import processes
from scripts.local_services.environment import write_environment
from scripts.local_services.home import Home
from scripts.local_services.machine import Machine
from scripts.local_services.runner import Runner
from scripts.local_services.servers import SERVICES
from scripts.local_services.service import Service

State = Literal["running", "not answering", "died", "stopped"]


@dataclass(frozen=True)
class StartOutcome:
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
        self.report = report
        self.services: dict[str, Service] = {
            name: kind(home, self.machine, durable=durable) for name, kind in SERVICES.items()
        }
        self._runner = Runner(home, self.machine, tied=tied, report=report)

    def up(self, names: Sequence[str] = ()) -> list[StartOutcome]:
        """Start servers and those that they need, side by side; those that run are left alone.

        One that fails is told in its outcome and hides no other.

        Raises:
            NotFoundError: there is no server of a name.
        """
        chosen = self._with_needs(self.named(names))
        self.home.make()
        with self.home.turn(self.report):
            missing = self.install(chosen)
            with ThreadPoolExecutor(len(chosen)) as pool:
                running: dict[str, Future[StartOutcome]] = {}
                for name in chosen:
                    needed = {need: running[need] for need in self.services[name].needs}
                    running[name] = pool.submit(self._try, name, needed, missing.get(name, ""))
                try:
                    outcomes = [running[name].result() for name in chosen]
                except BaseException:
                    # Ctrl-C: what has been started goes on, and nobody waits.
                    self._runner.interrupted.set()
                    raise
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
        with self.home.turn(self.report):
            stopped = [name for name in reversed(list(self.services)) if name in chosen and self.stop(name)]
            if stopped:
                write_environment(self.home, self.running())
            return stopped

    def status(self, names: Sequence[str] = ()) -> list[Status]:
        """What each server does now; changes nothing.

        Raises:
            NotFoundError: there is no server of a name.
        """
        with ThreadPoolExecutor(len(self.services)) as pool:
            return list(pool.map(self._status, self._chosen(names, list(self.services))))

    def start(self, name: str) -> bool:
        """See that one server answers; its needs must answer already. Gives whether a process was started.

        Raises:
            ServiceError: it cannot be started, or does not answer in its time; with the end of its log.
        """
        self.home.make()
        return self._runner.start(self.services[name])

    def stop(self, name: str) -> bool:
        """Stop one server with all its processes. Gives whether it ran."""
        return self._runner.stop(self.services[name])

    def kill(self, name: str) -> None:
        """End one server as a failure would: at once, with nothing put in order. It counts as died."""
        self._runner.kill(self.services[name])

    def running(self) -> list[Service]:
        """The servers whose process is alive."""
        return [service for service in self.services.values() if self._runner.process(service)]

    def install(self, names: Iterable[str]) -> dict[str, str]:
        """Install what servers lack, all at once. Gives the reason for each server that still lacks something."""
        lacking = [self.services[name] for name in names if self.services[name].program() is None]
        packages = {package for service in lacking for package in service.packages}
        failure = ""
        if packages:
            self.home.make()
            try:
                self.machine.install(packages, self.home.log("apt"), self.report)
            except FairError as error:
                failure = str(error)
        still = [service for service in lacking if service.program() is None]
        return {service.name: (service.packages and failure) or service.lacks() for service in still}

    def named(self, names: Sequence[str] = ()) -> list[str]:
        """The servers of these names, or those that are started when none is named.

        Raises:
            NotFoundError: there is no server of a name.
        """
        return self._chosen(names, [name for name, service in self.services.items() if service.by_default])

    def _try(self, name: str, needed: dict[str, "Future[StartOutcome]"], missing: str) -> StartOutcome:
        failed = [need for need, future in needed.items() if future.result().error]
        begun = time.monotonic()
        if failed or missing:
            return self._told(
                StartOutcome(name, 0.0, missing or f"was not started, because {' and '.join(failed)} failed")
            )
        try:
            started = self.start(name)
        except FairError as error:
            return self._told(StartOutcome(name, time.monotonic() - begun, str(error)))
        except Exception as error:  # A fault of one server, or of ours, must not hide what became of the others.
            return self._told(StartOutcome(name, time.monotonic() - begun, f"{type(error).__name__}: {error}"))
        return self._told(StartOutcome(name, time.monotonic() - begun, started=started))

    def _told(self, outcome: StartOutcome) -> StartOutcome:
        if outcome.error:
            self.report(f"{outcome.name}: failed")
        else:
            url = self.services[outcome.name].url
            what = f"ready after {outcome.seconds:.0f} s" if outcome.started else "runs already"
            self.report(f"{outcome.name}: {what} at {url}")
        return outcome

    def _status(self, name: str) -> Status:
        service, process, log = self.services[name], self.home.process(name), self.home.log(name)
        if process is None:
            return Status(name, "stopped", "", 0, log)
        if not processes.alive(process):
            problem = "its process has ended: 'scripts/services up' starts it anew"
            return Status(name, "died", service.url, 0, log, problem)
        problem = service.problem()
        return Status(name, "not answering" if problem else "running", service.url, process.pid, log, problem)

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

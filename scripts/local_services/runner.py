"""One server's life: started and waited for, stopped, killed. It knows nothing of the other servers."""

import hashlib
import json
import threading
import time
from collections.abc import Callable

from fair_dagster.domain.errors import ServiceError
from fair_dagster.net.processes import Process
from scripts.local_services import processes
from scripts.local_services.home import Home, is_free
from scripts.local_services.machine import Machine
from scripts.local_services.service import Service

_LOOK = 0.1
_TELL = 10.0
"""Seconds between two lines that say that a server is still being waited for."""
_PORTS_TRIED = 3


class Runner:
    """Starts and stops the servers of a home, each for itself.

    Args:
        home: where they live.
        machine: what this machine has.
        tied: end them when the calling thread ends, even by SIGKILL.
        report: gets a line a time, while one waits.
    """

    def __init__(self, home: Home, machine: Machine, *, tied: bool, report: Callable[[str], None]) -> None:
        self.home = home
        self.machine = machine
        self.tied = tied
        self.report = report
        self.interrupted = threading.Event()
        """Set to let all that wait give up."""

    def process(self, service: Service) -> Process | None:
        """The process of a server, if it is alive."""
        process = self.home.process(service.name)
        return process if process is not None and processes.alive(process) else None

    def start(self, service: Service) -> bool:
        """See that a server answers and has what clients need. Its needs must answer already.

        Returns:
            Whether a process was started.

        Raises:
            ServiceError: it cannot be started, or does not answer in its time; with the end of its log.
        """
        runs = self._runs_as_it_should(service)
        if runs:
            self._wait(service)
        else:
            for attempt in range(1, _PORTS_TRIED + 1):
                if self._launch(service, last=attempt == _PORTS_TRIED):
                    break
        service.provision()
        return not runs

    def stop(self, service: Service) -> bool:
        """Stop a server with all its processes. Gives whether it ran."""
        process = self.home.process(service.name)
        if process is None:
            return False
        ran = processes.alive(process)
        if not processes.stop(process, service.stop_signal, service.stop_seconds, whole_group=service.stop_whole_group):
            self.report(f"{service.name}: did not end within {service.stop_seconds:.0f} s and was killed")
        self.home.note_process(service.name, None)
        return ran

    def kill(self, service: Service) -> None:
        """End a server as a failure would: at once, with nothing put in order. It counts as died."""
        process = self.home.process(service.name)
        if process is not None:
            processes.kill(process, service.stop_seconds)

    def _runs_as_it_should(self, service: Service) -> bool:
        """Whether its process is alive and was started with the present command; one started otherwise is stopped."""
        if not self.process(service):
            return False
        if self.home.note(service.name) == _digest(service):
            return True
        self.report(f"{service.name}: starting anew, because its settings have changed")
        self.stop(service)
        return False

    def _launch(self, service: Service, *, last: bool) -> bool:
        """Start a server and wait until it answers. False when its port was taken by another while it started."""
        # What a server that died has left behind.
        self.stop(service)
        if not is_free(service.port):
            taken, given = service.port, self.home.new_port(service.name)
            self.report(f"{service.name}: port {taken} is taken by another program; from now on it has {given}")
        self.home.turn_log(service.name)
        service.prepare()
        process = self._execute(service)
        try:
            self._wait(service)
        except ServiceError:
            if last or processes.alive(process) or is_free(service.port):
                raise
            return False
        return True

    def _execute(self, service: Service) -> Process:
        program, command = service.program(), service.command()
        if program is None:
            raise ServiceError(service.lacks())
        process = processes.start(
            processes.Start(
                (str(program), *command.argv[1:]),
                {**self.machine.environment(service.data), **command.env},
                self.home.path,
                self.home.log(service.name),
                user=self.machine.user(service.user),
                tied=self.tied,
                stop_signal=service.stop_signal,
            )
        )
        self.home.note_process(service.name, process, _digest(service))
        return process

    def _wait(self, service: Service) -> None:
        """Wait until a server answers, as long as its process lives."""
        begun = told = time.monotonic()
        while problem := service.problem():
            now = time.monotonic()
            if not self.process(service):
                raise ServiceError(self._story(service, "ended before it answered"))
            if self.interrupted.is_set():
                raise ServiceError(f"{service.name} was not waited for any longer")
            if now - begun > service.seconds:
                raise ServiceError(self._story(service, f"does not answer after {service.seconds:.0f} s ({problem})"))
            if now - told > _TELL:
                told = now
                self.report(f"{service.name}: waiting for it to answer ({now - begun:.0f} s)")
            time.sleep(_LOOK)
        # Another server may have answered in its place.
        if not self.process(service):
            raise ServiceError(self._story(service, "ended, and another program answers at its port"))

    def _story(self, service: Service, what: str) -> str:
        tail = self.home.log_tail(service.name)
        return f"{service.name} {what}. The end of {self.home.log(service.name)}:\n{tail or '(it is empty)'}"


def _digest(service: Service) -> str:
    """Tells whether a running process was started with the present command, without keeping passwords."""
    command = service.command()
    return hashlib.sha256(json.dumps([command.argv, dict(command.env)]).encode()).hexdigest()[:16]

"""A thread beside a step on a worker: it renews the claim, and interrupts the step when nobody waits for it."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import redis

from fair_dagster.orchestration.workers.broker import RENEW_SECONDS, StepNotes

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 15.0
_AGAIN_SECONDS = 60.0


class Watch:
    """Keeps the note of a step while its ``with`` block works on it.

    Args:
        is_wanted: whether the step's run still goes on; asked every 15 s.
        interrupt: what ends the step; the default is what Ctrl-C does to this process.
    """

    def __init__(
        self,
        notes: StepNotes,
        step: str,
        worker: str,
        is_wanted: Callable[[], bool],
        interrupt: Callable[[], None] | None = None,
    ) -> None:
        self._notes, self._step, self._worker = notes, step, worker
        self._is_wanted = is_wanted
        self._interrupt = interrupt or (lambda: os.kill(os.getpid(), signal.SIGINT))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"watch {step}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        looked = time.monotonic()
        while not self._over.wait(RENEW_SECONDS):
            reason = self._lost()
            if not reason and time.monotonic() - looked > _LOOK_SECONDS:
                looked = time.monotonic()
                reason = self._unwanted()
            if reason and not self._over.is_set():
                _LOG.warning("%s is interrupted: %s", self._step, reason)
                self._interrupt()
                # A process that it has started gets time to end; an interrupt between two steps was not heeded.
                self._over.wait(_AGAIN_SECONDS)

    def _lost(self) -> str:
        """Why the step is not this worker's any more; empty while Redis does not answer, for it may come back."""
        try:
            if self._notes.is_stopped(self._step):
                return "it was stopped"
            note = self._notes.take(self._step, self._worker)
        except redis.RedisError as error:
            _LOG.warning("the broker does not answer (%s); %s goes on", error, self._step)
            return ""
        return "" if note.detail == self._worker else "another worker has it"

    def _unwanted(self) -> str:
        try:
            return "" if self._is_wanted() else "its run has ended"
        except Exception as error:
            # A database that does not answer for a moment must not cost hours of training.
            _LOG.warning("the run of %s cannot be looked up: %s", self._step, error)
            return ""

"""A thread beside a run on a worker: it interrupts the run when it was stopped, or counts as lost."""

import logging
import os
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 2.0
_AGAIN_SECONDS = 60.0


class Watch:
    """Looks after a run while its ``with`` block executes it.

    Args:
        is_wanted: whether the run still goes on.
        interrupt: what ends it; the default is what Ctrl-C does to this process.
    """

    def __init__(self, run_id: str, is_wanted: Callable[[], bool], interrupt: Callable[[], None] | None = None) -> None:
        self._run_id, self._is_wanted = run_id, is_wanted
        self._interrupt = interrupt or (lambda: os.kill(os.getpid(), signal.SIGINT))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"watch {run_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            # A run that has just ended by itself is not interrupted in its last moments.
            if self._goes_on() or self._over.wait(_LOOK_SECONDS) or self._goes_on():
                continue
            _LOG.warning("run %s is interrupted: it was stopped, or Dagster counts it as lost", self._run_id)
            self._interrupt()
            # A process that it has started gets time to end; an interrupt between two steps was not heeded.
            self._over.wait(_AGAIN_SECONDS)

    def _goes_on(self) -> bool:
        try:
            return self._is_wanted()
        except Exception as error:
            # A database that does not answer for a moment must not cost hours of training.
            _LOG.warning("run %s cannot be looked up: %s", self._run_id, error)
            return True

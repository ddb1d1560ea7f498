"""What SIGTERM does to a command that waits for a run. What Ctrl-C does stands in ``root`` and ``Started.wait``."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM, for those who know what to do on Ctrl-C."""


@contextmanager
def sigterm_stops() -> Iterator[None]:
    """Let SIGTERM do meanwhile what Ctrl-C does: who ends a command that waits for a run means the run as well."""

    def end(_signum: int, _frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

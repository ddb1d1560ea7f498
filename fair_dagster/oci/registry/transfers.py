"""Several blobs at once: threads, one count of bytes for all, and an end for all when one fails."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fair_dagster.oci.registry.blobs import Progress

T = TypeVar("T")
THREADS = 4


class _StoppedError(Exception):
    """Ends the other transfers when one has failed."""


def in_parallel(
    tasks: Sequence[Callable[[Progress], T]], progress: Progress | None = None, total: int = 0, threads: int = THREADS
) -> list[T]:
    """Do the tasks a few at a time; results in their order.

    Args:
        tasks: each is given what to call with its own bytes done, bytes in all, and of what.
        progress: is called with the bytes of all tasks.
        total: bytes of all tasks.

    Raises:
        What the first task to fail has raised; the others are ended.
    """
    stop, lock = threading.Event(), threading.Lock()
    counts = [0] * len(tasks)
    tell = progress or (lambda *_: None)

    def count(number: int) -> Progress:
        def counted(done: int, _: int, what: str) -> None:
            if stop.is_set():
                raise _StoppedError
            with lock:
                counts[number] = done
                tell(sum(counts), total, what)

        return counted

    def run(number: int) -> T:
        if stop.is_set():
            raise _StoppedError
        try:
            return tasks[number](count(number))
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(max(1, min(threads, len(tasks))), "fair-oci") as pool:
        try:
            going = [pool.submit(run, number) for number in range(len(tasks))]
            errors = [error for one in going if (error := one.exception()) is not None]
        except BaseException:
            stop.set()
            raise
    for error in errors:
        if not isinstance(error, _StoppedError):
            raise error
    return [one.result() for one in going]

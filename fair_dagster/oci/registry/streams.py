"""Streams of results from threads: a bounded number is under way and held, and all ends when nobody reads on.

What ``transfers`` does for a few large blobs this does for very many small answers.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")

_HELD = 64
_LOOK_SECONDS = 0.1


def ahead(function: Callable[[T], U], items: Iterable[T], threads: int, held: int) -> Generator[U]:
    """The results of ``function`` in the order of ``items``, of which at most ``held`` are read ahead."""
    waiting: deque[Future[U]] = deque()
    with ThreadPoolExecutor(threads, "fair-crawl") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= held:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


def merged(streams: Sequence[Callable[[], Generator[T]]], threads: int) -> Generator[T]:
    """What the streams give, as it comes; a few of them are read at once.

    Raises:
        What a stream raises; the others are ended.
    """
    results: queue.Queue[T | _End] = queue.Queue(_HELD)
    stop = threading.Event()

    def put(result: "T | _End") -> None:
        while not stop.is_set():
            try:
                results.put(result, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            return

    def run(start: Callable[[], Generator[T]]) -> None:
        failure: BaseException | None = None
        stream = start()
        try:
            for result in stream:
                put(result)
                if stop.is_set():
                    break
        except BaseException as error:
            failure = error
        finally:
            stream.close()
            put(_End(failure))

    left = len(streams)
    with ThreadPoolExecutor(max(1, min(threads, left)), "fair-walk") as pool:
        try:
            for start in streams:
                pool.submit(run, start)
            while left:
                result = results.get()
                if not isinstance(result, _End):
                    yield result
                    continue
                if result.failure is not None:
                    raise result.failure
                left -= 1
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


class _End:
    """A stream is at its end, or has failed."""

    def __init__(self, failure: BaseException | None) -> None:
        self.failure = failure

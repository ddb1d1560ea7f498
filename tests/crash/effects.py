"""Counts what this process does to the world outside, and kills it before a given one of these effects.

An effect is a file that is opened for writing, renamed, removed or brought to the disk, a statement that changes a
database, a commit, and bytes that are sent to a server. What the effects are for is not known here.
"""

import itertools
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

_FILES = frozenset({"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"})
_READING = ("select", "pragma", "show")


class Effects:
    """Counts from now on, in all threads. Called for each effect before it happens."""

    def __init__(self, last: int = 0) -> None:
        self._numbers = itertools.count(1)
        self._last = last
        self.count = 0
        self._watch_files()
        self._watch_sockets()
        self._watch_databases()

    def __call__(self) -> None:
        self.count = next(self._numbers)
        if self.count == self._last:
            os.kill(os.getpid(), signal.SIGKILL)

    def _watch_files(self) -> None:
        writing = os.O_WRONLY | os.O_RDWR

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event in _FILES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & writing):
                self()

        sys.addaudithook(hook)
        self._before(os, "fsync")

    def _watch_sockets(self) -> None:
        for name in ("send", "sendall"):
            self._before(socket.socket, name)

    def _watch_databases(self) -> None:
        import psycopg
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        def statement(_connection: Any, _cursor: Any, text: str, *_: Any) -> None:
            if not text.lstrip().lower().startswith(_READING):
                self()

        event.listen(Engine, "before_cursor_execute", statement)
        event.listen(Engine, "commit", lambda _: self())
        self._before(psycopg.Cursor, "execute")
        self._before(psycopg.Transaction, "__exit__")

    def _before(self, owner: Any, name: str) -> None:
        act: Callable[..., Any] = getattr(owner, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            self()
            return act(*arguments, **options)

        setattr(owner, name, counted)

"""What went wrong, as one message for a person and one document for a machine. Nothing is printed here."""

import errno
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fair_dagster.cli.terminal.extras import missing_extra
from fair_dagster.domain.errors import FairError, ProblemsError

_HINTS = {
    errno.ENOSPC: "free some space and try again",
    errno.EDQUOT: "free some space and try again",
    errno.EROFS: "choose another home with --home, or make this one writable",
    errno.EACCES: "choose another home with --home, or make this one writable",
    errno.EPERM: "choose another home with --home, or make this one writable",
}


@dataclass(frozen=True)
class ExplainedFailure:
    """``message`` is whole and lists every reason; ``subject`` and ``problems`` are its parts."""

    message: str
    subject: str
    problems: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        return {"error": self.subject, "problems": list(self.problems)}


def explain(error: BaseException) -> ExplainedFailure | None:
    """An error that can be told in a sentence; None for a fault of the program, whose traceback is needed.

    Looks through the wrappers that Dagster and SQLAlchemy put around a cause.
    """
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, ProblemsError):
            return ExplainedFailure(str(cause), f"{cause.subject} {cause.verdict}", cause.problems)
        if isinstance(cause, FairError):
            return ExplainedFailure(str(cause), str(cause))
    for cause in chain:
        if sentence := missing_extra(cause):
            return _plain(sentence)
        if isinstance(cause, OSError) and cause.strerror:
            return _plain(_os_sentence(cause))
        if isinstance(cause, sqlite3.OperationalError):
            return _plain(f"a database under the home folder cannot be used: {cause}; check its space and permissions")
    return None


def _plain(sentence: str) -> ExplainedFailure:
    return ExplainedFailure(sentence, sentence)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__


def _os_sentence(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    hint = _HINTS.get(error.errno or 0)
    return f"{where}{error.strerror}" + (f"; {hint}" if hint else "")

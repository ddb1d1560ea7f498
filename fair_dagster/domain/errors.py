"""The project's exceptions: one hierarchy, so that a caller can catch what it can handle.

Every message says what is wrong, where, and what to do next. Nothing here formats for a terminal.
"""

from collections.abc import Sequence


class FairError(Exception):
    """Base of everything this project raises on purpose."""


class RefusedError(FairError):
    """An input was refused. Carries every reason, not only the first; the state is as it was.

    Args:
        subject: what was refused, e.g. ``finetune request`` or ``models/ramp/stac-item.json``.
        problems: one sentence a problem.
    """

    verdict = "was refused"

    def __init__(self, subject: str, problems: Sequence[str]) -> None:
        self.subject = subject
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{subject} {self.verdict}:\n{lines}")


class NotFoundError(RefusedError):
    """Something was asked for by a name that nothing has."""

    verdict = "was not found"


class PartialError(RefusedError):
    """Some of many things were done, and these were not. Doing all of it again does only what is missing."""

    verdict = "failed"


class CatalogError(FairError):
    """The catalog could not be read or written: disk full, no permission, a file that is no JSON."""


class StorageError(FairError):
    """An artifact could not be copied, read or verified."""


class StoreAwayError(StorageError):
    """The artifact store does not answer, or refuses whatever it is asked: the next artifact would fare no better."""


class PipelineError(FairError):
    """A pipeline run failed. The message holds the cause from the step's log, not the wrapper's."""


class ServiceError(FairError):
    """A server that is needed (ZenML, a STAC API, a registry) did not answer."""


class UnreachableError(ServiceError):
    """A server that gives no answer at all: whoever asks it for something else would wait as long again."""


class ConflictError(CatalogError):
    """Another writer changed an item after it was read. Read again, decide again."""

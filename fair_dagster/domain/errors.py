"""The project's exceptions: one hierarchy, so that a caller can catch what it can handle.

    FairError
      ProblemsError          carries ``subject`` and ``problems``
        RefusedError         an input was refused
        NotFoundError        nothing has that name
        PartialError         some of many things were not done
      AwayError              whatever is asked for gives no answer; each kind is also the error of its place
        UnreachableError     · ServiceError
        CatalogAwayError     · CatalogError
        StoreAwayError       · StorageError
      CatalogError           the catalog could not be read or written
        ConflictError        another writer was faster
      StorageError           an artifact could not be copied, read or verified
        StoreRefusesError    the store refuses us, whatever is asked
      ServiceError           a server refused, answered nonsense or did not answer
        CredentialsError     it does not take user and password, or the key
        PrivateAddressError  its name leads to an address that is not public
      PipelineError          a run failed
        UnexplainedError     and only its log may say why

Decisions look at the type of an error and never at its message: the message is for people. It says what is wrong,
where, and what to do next. A kind that a single package raises and handles stands in that package (``StacApiError``,
``DamagedFileError``). Nothing here formats for a terminal.
"""

from collections.abc import Sequence

SEE_LOG = "see the step's log"


class FairError(Exception):
    """Base of everything this project raises on purpose."""


class ProblemsError(FairError):
    """Something was not done, for reasons that are all named. What is raised is one of its kinds.

    Args:
        subject: what it is about, e.g. ``finetune request`` or ``models/ramp/stac-item.json``.
        problems: one sentence a problem.
    """

    verdict = "was not done"

    def __init__(self, subject: str, problems: Sequence[str]) -> None:
        self.subject = subject
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{subject} {self.verdict}:\n{lines}")


class RefusedError(ProblemsError):
    """An input was refused. Carries every reason, not only the first; the state is as it was."""

    verdict = "was refused"


class NotFoundError(ProblemsError):
    """Something was asked for by a name that nothing has."""

    verdict = "was not found"


class PartialError(ProblemsError):
    """Some of many things were done, and these were not. Doing all of it again does only what is missing."""

    verdict = "failed"


class AwayError(FairError):
    """A server gives no answer at all: whoever asks it for something else would wait as long again."""


class CatalogError(FairError):
    """The catalog could not be read or written: disk full, no permission, a file that is no JSON."""


class CatalogAwayError(AwayError, CatalogError):
    """The server or the database of the catalog does not answer."""


class ConflictError(CatalogError):
    """Another writer changed an item after it was read. Read again, decide again."""


class StorageError(FairError):
    """An artifact could not be copied, read or verified."""


class StoreAwayError(AwayError, StorageError):
    """The artifact store does not answer, or fails whatever it is asked."""


class StoreRefusesError(StorageError):
    """The artifact store refuses the keys, or has no such bucket: the next artifact would fare no better."""


class ServiceError(FairError):
    """A server that is needed (ZenML, a STAC API, a registry) refused, answered nonsense, or did not answer."""


class UnreachableError(AwayError, ServiceError):
    """A server that is needed does not answer."""


class CredentialsError(ServiceError):
    """A server does not take the credentials that it was given."""


class PrivateAddressError(ServiceError):
    """The name of a host leads to an address that is not public."""


class PipelineError(FairError):
    """A pipeline run failed. The message holds the cause from the step's log, not the wrapper's."""


class UnexplainedError(PipelineError):
    """A process ended without a cause. Who shows it puts the end of its log in place of ``SEE_LOG``.

    Args:
        what: how it ended.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; {SEE_LOG}")

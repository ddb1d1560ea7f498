"""Crawls: every artifact of registries and repositories with its metadata, and questions to them."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from fair_dagster.domain.errors import RefusedError
from fair_dagster.fair.oci.client import RegistryPart

if TYPE_CHECKING:
    from fair_dagster.oci.crawl.question import Question
    from fair_dagster.oci.crawl.walking import Event, FoundArtifact, WalkFailure
    from fair_dagster.oci.registry.blobs import Progress

_REPORTED = 20
"""Artifacts between two calls of ``Progress``."""


class Crawl:
    """The answer to a crawl, found while it is iterated over, once.

    Leaving the iteration early leaves the crawl: use it as a context manager then, or ``close`` it.

    Attributes:
        failures: what could not be read so far; complete when the iteration has ended.
    """

    def __init__(self, question: "Question", events: "Generator[Event]", progress: "Progress | None" = None) -> None:
        self.failures: list[WalkFailure] = []
        self._question = question
        self._events = events
        self._progress = progress
        self._answer = question.answer(self._artifacts())

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that were asked for, by condition and order."""
        return self._question.fields

    @property
    def is_ordered(self) -> bool:
        """Whether an order was asked for; registries list tags in none."""
        return self._question.order is not None

    @property
    def looked_at(self) -> int:
        """Artifacts that were looked at so far, whether they fit or not."""
        return self._question.looked_at

    def unseen(self) -> tuple[str, ...]:
        """Fields that were asked for, and that no artifact had."""
        return self._question.unseen()

    def __iter__(self) -> "Iterator[FoundArtifact]":
        return self._answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ask for nothing more."""
        self._events.close()

    def _artifacts(self) -> "Iterator[FoundArtifact]":
        from fair_dagster.oci.crawl.walking import FoundArtifact, WalkFailure

        done = 0
        with closing(self._events):
            for event in self._events:
                if isinstance(event, WalkFailure):
                    self.failures.append(event)
                elif isinstance(event, FoundArtifact):
                    done += 1
                    if self._progress is not None and done % _REPORTED == 0:
                        self._progress(done, done, f"{event.reference.registry}/{event.reference.repository}")
                    yield event


class Crawls(RegistryPart):
    """How ``Fair.oci`` finds models."""

    def crawl(
        self,
        *targets: str,
        condition: str | None = None,
        order: Sequence[str] = (),
        highest: str | None = None,
        lowest: str | None = None,
        limit: int | None = None,
        keep: bool = False,
        from_index: bool = False,
        hidden: bool = False,
        progress: "Progress | None" = None,
    ) -> Crawl:
        """Look through registries, repositories and artifacts, several at once.

        Fields are those of the metadata (``name``, ``author``, ``customProperties.accuracy`` …) and of the artifact:
        ``registry``, ``repository``, ``tag``, ``digest``, ``artifact_type``, ``size`` in bytes, ``subject``,
        ``annotations.KEY``.

        Args:
            targets: ``ghcr.io``, ``ghcr.io/hotosm/ramp``, or ``ghcr.io/hotosm/ramp:v1``.
            condition: in CQL2, like ``customProperties.accuracy > 0.9 AND author = 'HOT'``.
            order: fields, ascending; with a minus before it descending. Those without a field come last.
            highest: only the artifact with the highest value of this field.
            lowest: only the one with the lowest.
            limit: at most so many.
            keep: keep what is found in the index, and ask only for what has changed since.
            from_index: answer from the index; no registry is asked. Without targets it is all of it.
            hidden: also the tags by which tools keep what refers to a manifest.

        Raises:
            RefusedError: a target, the condition or the order is none, or what is asked for contradicts itself.
            StorageError, CatalogError: the index cannot be used.
        """
        from fair_dagster.flows.registries.crawling import artifacts_of, kept_of
        from fair_dagster.oci.crawl.question import Question
        from fair_dagster.oci.crawl.walking import Target

        question = Question.parse(condition, order=order, highest=highest, lowest=lowest, limit=limit)
        aims = list(dict.fromkeys(Target.parse(one) for one in targets))
        problems = [] if aims or from_index else ["name a target: only the index answers without one"]
        problems += (
            ["the index is either asked or kept: registries are not asked by both"] if keep and from_index else []
        )
        if problems:
            raise RefusedError("a crawl", problems)
        if from_index:
            return Crawl(question, kept_of(self.services.settings, aims), progress)
        registries = self.client(*(f"{aim.registry}/any" for aim in aims))
        options: dict[str, Any] = {"registries": registries, "keep": keep, "hidden": hidden}
        return Crawl(question, artifacts_of(self.services, aims, **options), progress)

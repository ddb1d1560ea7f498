"""Walking registries: every tagged artifact of repositories and registries, with its metadata, several at once.

What cannot be read is told where it stood, and hinders nothing else. A bounded number of artifacts is held, however
many a repository has. How they are asked for stands in ``query``, where they are kept in ``crawl_index``.
"""

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

from fair_dagster.domain.errors import (
    AwayError,
    FairError,
    NotFoundError,
    ProblemsError,
    RefusedError,
)
from fair_dagster.oci.artifacts.listing import Artifact, look
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.registries import Registries
from fair_dagster.oci.registry.streams import ahead, merged

_TARGETS = 4
_REPOSITORIES = 4
_THREADS = 8
AHEAD = 64
_SILENT = 3
"""After so many artifacts in a row without an answer, a registry is not asked for the rest."""


@dataclass(frozen=True)
class Target:
    """What is walked: a registry, a repository of one, or a single artifact.

    Attributes:
        reference: names a repository where ``is_whole``, else an artifact; None for a registry.
    """

    registry: str
    reference: Reference | None = None
    is_whole: bool = True

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``ghcr.io``, ``ghcr.io/hotosm/ramp``, or ``ghcr.io/hotosm/ramp:v1``.

        Raises:
            RefusedError: it is none of these.
        """
        bare = text.partition("://")[2] or text
        if "/" not in bare.rstrip("/"):
            host = bare.rstrip("/")
            found = Reference.parse(f"{host}/any")
            if found.registry != host:
                problem = "it names no registry, like registry.example.org or localhost:5000, and no repository of one"
                raise RefusedError(f"crawl of {text!r}", [problem])
            return cls(host)
        found = Reference.parse(bare.rstrip("/"))
        is_whole = "@" not in bare and ":" not in bare.rpartition("/")[2]
        return cls(found.registry, replace(found, tag=None) if is_whole else found, is_whole)

    def __str__(self) -> str:
        if self.reference is None:
            return self.registry
        return f"{self.registry}/{self.reference.repository}" if self.is_whole else str(self.reference)


@dataclass(frozen=True)
class FoundArtifact:
    """An artifact under a tag, as a document for queries and machines."""

    reference: Reference
    digest: str
    document: Mapping[str, Any]

    @property
    def fields(self) -> dict[str, Any]:
        """What queries ask for: the document, and the metadata's own names at its first level."""
        return {**(self.document["metadata"] or {}), **self.document}

    def field(self, name: str) -> Any:
        """The value of a field as queries name it, like ``customProperties.accuracy``; None where it has none."""
        from fair_dagster.oci.crawl.query_values import find

        return find(self.fields, name)


@dataclass(frozen=True)
class WalkFailure:
    """What could not be read: an artifact, a repository or a registry, and why.

    Attributes:
        reference: of an artifact; None of anything larger.
        is_silence: nothing was answered at all.
    """

    where: str
    problem: str
    reference: Reference | None = None
    is_silence: bool = False


@dataclass(frozen=True)
class Walked:
    """All tags of a repository were listed: a ``FoundArtifact`` or ``WalkFailure`` came before for each of them."""

    reference: Reference


Event = FoundArtifact | WalkFailure | Walked
Known = Callable[[Reference], Mapping[str, FoundArtifact]]
"""What is known of a repository, by tag."""


def crawl(
    registries: Registries, targets: Sequence[Target], *, known: Known = lambda _: {}, hidden: bool = False
) -> Generator[Event]:
    """Walk the targets. What a registry says or does not say raises nothing: it is told as a ``WalkFailure``.

    Args:
        known: of an artifact whose digest is still the same nothing else is asked.
        hidden: also the tags by which tools keep what refers to a manifest.
    """
    walk = _Walk(registries, known, hidden)
    return merged([partial(walk.run, target) for target in targets], _TARGETS)


@dataclass(frozen=True)
class _Tagged:
    """A manifest to look at, and what is known of it."""

    reference: Reference
    known: FoundArtifact | None = None
    is_listed: bool = True


@dataclass(frozen=True)
class _Tags:
    """The tags of a repository."""

    reference: Reference
    tags: Sequence[str]


@dataclass(frozen=True)
class _Walk:
    registries: Registries
    known: Known
    hidden: bool

    def run(self, target: Target) -> Generator[Event]:
        """Everything of one target, in the order of the registry."""
        silent = 0
        for event in ahead(self._done, self._jobs(target), _THREADS, AHEAD):
            if event is None:
                continue
            silent = silent + 1 if isinstance(event, WalkFailure) and event.is_silence else 0
            yield event
            if silent == _SILENT:
                yield WalkFailure(str(target), "nothing is answered any more: the rest was left out")
                return

    def _jobs(self, target: Target) -> Iterator[_Tagged | WalkFailure | Walked]:
        if target.reference is not None and not target.is_whole:
            yield _Tagged(target.reference, is_listed=False)
            return
        for listing in self._listings(target):
            if isinstance(listing, WalkFailure):
                yield listing
                continue
            known = self.known(listing.reference)
            for tag in listing.tags:
                yield _Tagged(listing.reference.with_tag(tag), known.get(tag))
            yield Walked(listing.reference)

    def _listings(self, target: Target) -> Iterator[_Tags | WalkFailure]:
        if target.reference is not None:
            return iter([self._tags(str(target))])
        return ahead(self._listed, self._names(target.registry), _REPOSITORIES, 2 * _REPOSITORIES)

    def _names(self, registry: str) -> Iterator[str | WalkFailure]:
        try:
            for name in self.registries.repositories(registry):
                yield f"{registry}/{name}"
        except FairError as error:
            yield _failure(registry, error)

    def _listed(self, where: str | WalkFailure) -> _Tags | WalkFailure:
        return where if isinstance(where, WalkFailure) else self._tags(where, is_listed=True)

    def _tags(self, where: str, *, is_listed: bool = False) -> _Tags | WalkFailure:
        try:
            reference = replace(Reference.parse(where), tag=None)
            tags = self._names_of_tags(reference, is_listed)
            for tag in tags:
                reference.with_tag(tag)
        except FairError as error:
            return _failure(where, error)
        return _Tags(reference, tags)

    def _names_of_tags(self, reference: Reference, is_listed: bool) -> list[str]:
        try:
            return list(self.registries.tags(reference, hidden=self.hidden))
        except NotFoundError:
            # Registries list repositories that have no tag, or none any more, and then do not know them.
            if is_listed:
                return []
            raise

    def _done(self, job: _Tagged | WalkFailure | Walked) -> Event | None:
        if isinstance(job, WalkFailure | Walked):
            return job
        reference, known = job.reference, job.known
        try:
            if known is not None and self.registries.digest_of(reference) == known.digest:
                return known
            return _found(look(self.registries, reference))
        except FairError as error:
            # Removed since the tags were listed; or the registry lists tags whose manifest is gone.
            is_gone = isinstance(error, NotFoundError) and job.is_listed
            return None if is_gone else _failure(str(reference), error, reference)


def _found(artifact: Artifact) -> FoundArtifact:
    reference = artifact.reference
    place = {"registry": reference.registry, "repository": reference.repository, "tag": reference.tag}
    document = artifact.document() | place
    try:
        # What cannot be printed or kept would end the walk for all others.
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        problem = "its annotations or metadata hold what cannot be written: half a character, or lists too deep"
        raise RefusedError(str(reference), [problem]) from error
    return FoundArtifact(reference, artifact.manifest.digest, document)


def _failure(where: str, error: FairError, reference: Reference | None = None) -> WalkFailure:
    problem = "; ".join(error.problems) if isinstance(error, ProblemsError) else str(error)
    return WalkFailure(where, " ".join(problem.split()), reference, isinstance(error, AwayError))

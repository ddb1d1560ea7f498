"""What earlier crawls have found: the answer to the next question without asking registries.

It says what registries said, unverified and by others, so that it stands beside the catalog and not in it (decision
0042). It can be deleted at any time. How registries are walked stands in ``crawl``, where rows are kept in
``crawl_rows`` and, for a team, in ``catalog.pgstac_crawls``.

See docs/decisions/0042.
"""

import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from fair_dagster.oci.crawl.walking import Event, FoundArtifact, Target, Walked
from fair_dagster.oci.references import Reference

_BATCH = 500

_Place = tuple[str, str]
"""A registry and a repository."""


class IndexRows(Protocol):
    """Where the index keeps its rows: a tag of a repository, its digest, and a document as JSON.

    Every method raises ``StorageError`` or ``CatalogError`` when they cannot be read or written. What does not exist
    yet reads as empty, and is made by the first write.
    """

    def places(self) -> list[_Place]:
        """Every registry and repository of which there are rows, in their order."""

    def documents(self, place: _Place) -> list[tuple[str, str]]:
        """Tags of a repository with their documents."""

    def write(self, rows: Sequence[tuple[str, str, str, str, str]]) -> None:
        """Add or replace rows: registry, repository, tag, digest, document. All of them or none."""

    def remove(self, place: _Place, tags: Sequence[str]) -> None:
        """Remove tags of a repository."""

    def close(self) -> None:
        """Give back what is open."""


class CrawlIndex:
    """The artifacts that crawls have found, by their tags. Threads and processes may share one.

    Errors as ``IndexRows``.
    """

    def __init__(self, rows: IndexRows) -> None:
        self._rows = rows

    def known(self, reference: Reference) -> dict[str, FoundArtifact]:
        """What is known of a repository, by tag."""
        return {tag: _found(document) for tag, document in self._rows.documents(_place(reference))}

    def all(self, targets: Sequence[Target] = ()) -> Iterator[FoundArtifact]:
        """Everything that is known of the targets, by reference; of all that was ever crawled without targets."""
        for registry, repository in self._rows.places():
            found = self.known(Reference(registry, repository))
            for tag in sorted(found):
                if not targets or any(_covers(target, found[tag]) for target in targets):
                    yield found[tag]

    def recorded(self, events: Iterable[Event]) -> Generator[Event]:
        """The events, while they are written down: what was found, and of a walked repository what is gone."""
        batch: list[FoundArtifact] = []
        seen: dict[_Place, set[str]] = {}
        try:
            for event in events:
                self._note(event, batch, seen)
                if len(batch) >= _BATCH:
                    self._write(batch)
                yield event
        finally:
            self._write(batch)

    def close(self) -> None:
        self._rows.close()

    def _note(self, event: Event, batch: list[FoundArtifact], seen: dict[_Place, set[str]]) -> None:
        if isinstance(event, FoundArtifact):
            if event.reference.tag is not None:
                batch.append(event)
                seen.setdefault(_place(event.reference), set()).add(event.reference.tag)
        elif isinstance(event, Walked):
            self._write(batch)
            self._forget(event.reference, seen.pop(_place(event.reference), set()))
        elif event.reference is not None and event.reference.tag is not None:
            # It may be there; only its registry could not say so.
            seen.setdefault(_place(event.reference), set()).add(event.reference.tag)

    def _write(self, batch: list[FoundArtifact]) -> None:
        rows = [
            # Escaped as JSON can be, so that no database has to hold a character that it cannot.
            (*_place(one.reference), one.reference.tag or "", one.digest, json.dumps(one.document))
            for one in batch
        ]
        if rows:
            self._rows.write(rows)
        batch.clear()

    def _forget(self, reference: Reference, seen: set[str]) -> None:
        place = _place(reference)
        gone = [tag for tag, _ in self._rows.documents(place) if tag not in seen]
        if gone:
            self._rows.remove(place, gone)


def _found(text: str) -> FoundArtifact:
    document = json.loads(text)
    return FoundArtifact(Reference.parse(document["reference"]), document["digest"], document)


def _place(reference: Reference) -> _Place:
    return reference.registry, reference.repository


def _covers(target: Target, found: FoundArtifact) -> bool:
    if target.reference is None:
        return target.registry == found.reference.registry
    if target.is_whole:
        return _place(target.reference) == _place(found.reference)
    wanted = target.reference
    return replace(wanted, digest=None) == found.reference or (
        _place(wanted) == _place(found.reference) and wanted.digest == found.digest
    )

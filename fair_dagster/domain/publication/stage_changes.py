"""Which families of finetuned models have to be recomputed: where the stages in ZenML and the catalog disagree.

Decides by comparing states, not by counting events: what was published already asks for nothing, however often it
is looked at. Also what is remembered between two looks. Reading ZenML and starting runs happen elsewhere.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from fair_dagster.domain.items.entries import Entry
from fair_dagster.domain.slugs import version_id
from fair_dagster.domain.versions import Stage

DELETED = "deleted"
_FORMAT = 1
_SAID = {"none": "demoted"}


@dataclass(frozen=True)
class StageRow:
    """What a listing of ZenML's model versions says of one of them.

    ``updated`` is aware, in UTC; changes of stage and tags move it.
    """

    uuid: str
    name: str
    number: int
    stage: Stage
    updated: datetime


@dataclass(frozen=True)
class Disagreement:
    """One version that the catalog shows otherwise than ZenML has it. ``state`` is ZenML's: a stage, or deleted."""

    uuid: str
    id: str
    number: int
    state: str
    updated: str = ""
    base_model: str = ""
    """As the item says; empty where there is no item yet."""


def agrees(row: StageRow, entry: Entry | None) -> bool:
    """Whether a version's item, None where it has none, says what its stage says."""
    active = entry is not None and not entry.deprecated
    return active == (row.stage == "production")


def disagreements(rows: Sequence[StageRow], entries: Sequence[Entry]) -> tuple[Disagreement, ...]:
    """What is different between all versions of a family in ZenML and all its items.

    An archived version without an item was never seen in production: it agrees.
    """
    items = {entry.uid: entry for entry in entries}
    known = {row.uuid for row in rows}
    found = []
    for row in sorted(rows, key=lambda row: row.number):
        entry = items.get(row.uuid)
        if not agrees(row, entry):
            base_model = entry.base_model if entry else ""
            moment = row.updated.isoformat()
            row_id = version_id(row.name, row.number)
            found.append(Disagreement(row.uuid, row_id, row.number, row.stage, moment, base_model))
    found += [
        Disagreement(entry.uid, entry.id, entry.number, DELETED, base_model=entry.base_model)
        for entry in entries
        if entry.uid not in known
    ]
    return tuple(found)


def cause_of(found: Sequence[Disagreement]) -> str:
    """The disagreements for people: ``v2 production, v1 archived``."""
    ordered = sorted(found, key=lambda one: (one.state != "production", one.number))
    shown = [f"v{one.number} {_SAID.get(one.state, one.state)}" for one in ordered]
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")


def digest_of_cause(found: Sequence[Disagreement]) -> str:
    """The same for equal disagreements, another when a version has changed again in between."""
    facts = sorted([one.uuid, one.state, one.updated] for one in found)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def distance(attempt: int, longest: int) -> int:
    """Ticks until a family is looked at again after ``attempt`` runs: 1, 2, 4 … up to ``longest``."""
    return min(1 << min(attempt - 1, 30), max(longest, 1))


@dataclass(frozen=True)
class Open:
    """A family that is watched until ZenML and the catalog agree.

    Attributes:
        attempt: runs requested for the cause; 0 before the first.
        due: number of the tick at which it is looked at.
        cause: digest of the disagreements it was requested for.
        latest: moment of the newest change among its versions at that time, ISO 8601.
        gone: deleted versions whose partitions go with their items: (base model, version id).
    """

    attempt: int = 0
    due: int = 0
    cause: str = ""
    latest: str = ""
    gone: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class StagesCursor:
    """What a tick leaves to the next one.

    Attributes:
        name: tells a cursor from the one before it, whose attempts are not counted; empty before the first look.
        tick: number of this tick.
        seen: newest ``updated`` among the versions seen; the next reading begins some minutes before it.
        resume: where a reading that was cut off goes on: a moment, and a page from there.
        counted: a moment, and how many versions had been made until then; fewer mean a deletion.
        checked: UUID of the last item whose version was looked up; they are gone through in turn.
        sweep: items still to be looked up quickly, because a version was deleted.
        production_page: page of the versions in production that comes next; they are gone through in turn as well.
    """

    name: str = ""
    tick: int = 0
    seen: datetime | None = None
    resume: tuple[datetime, int] | None = None
    counted: tuple[datetime, int] | None = None
    checked: str = ""
    sweep: int = 0
    production_page: int = 1
    open: Mapping[str, Open] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """What ``dump`` wrote. Anything else is an empty cursor, from which everything is compared anew."""
        try:
            document = json.loads(text or "")
            if document.pop("format") != _FORMAT:
                return cls()
            for name in ("resume", "counted"):
                if document[name] is not None:
                    moment, number = document[name]
                    document[name] = (_aware(moment), int(number))
            document["seen"] = _aware(document["seen"]) if document["seen"] else None
            document["open"] = {name: _open(kept) for name, kept in document["open"].items()}
            return cls(**document)
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls()

    def dump(self) -> str:
        document = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "open"}
        document["open"] = {
            name: {key: value for key, value in asdict(kept).items() if value} for name, kept in self.open.items()
        }
        return json.dumps(document | {"format": _FORMAT}, default=datetime.isoformat, separators=(",", ":"))

    def noticed(self, families: Mapping[str, datetime | None]) -> Self:
        """With ``families`` open and due.

        One that is open is due at once when its versions have changed after they were looked at (the moment given).
        """
        opened = dict(self.open)
        for name, moment in families.items():
            known = opened.get(name)
            if known is None:
                opened[name] = Open(due=self.tick)
            elif moment is not None and (not known.latest or moment.isoformat() > known.latest):
                opened[name] = replace(known, due=min(known.due, self.tick))
        return replace(self, open=opened)

    def due(self, limit: int) -> list[str]:
        """The families to look at now, those due longest first; half of the places are kept for new ones."""
        names = sorted(
            (name for name, kept in self.open.items() if kept.due <= self.tick),
            key=lambda name: (self.open[name].due, name),
        )
        new = [name for name in names if self.open[name].attempt == 0]
        again = [name for name in names if self.open[name].attempt > 0]
        half = limit // 2
        return new[: max(limit - half, limit - len(again))] + again[: max(half, limit - len(new))]

    @property
    def waiting(self) -> int:
        """How many families were noticed and not yet looked at."""
        return sum(1 for kept in self.open.values() if kept.attempt == 0)


def _open(kept: dict[str, Any]) -> Open:
    gone = tuple((str(base_model), str(id_)) for base_model, id_ in kept.pop("gone", ()))
    return Open(**kept, gone=gone)


def _aware(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment

"""ZenML's stages and the catalog's index in memory, and runs that make the one follow the other."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import uuid4

from fair_dagster.domain.errors import ServiceError
from fair_dagster.domain.items.entries import Entry
from fair_dagster.domain.publication.stage_changes import StageRow, StagesCursor, disagreements
from fair_dagster.domain.slugs import version_id
from fair_dagster.domain.versions import Stage
from fair_dagster.flows.publication.stages import Recompute, StageLimits, StagesLook, look
from fair_dagster.flows.services import Services
from fair_dagster.pipelines.zenml.stages import RowPage

START = datetime(2026, 1, 1, tzinfo=UTC)
BASE = "ramp"
USUAL = StageLimits()


@dataclass
class World:
    """Stands for ``Services``: ``catalog`` and ``stages`` of it. ``clock`` is that of ZenML's server."""

    rows: dict[str, StageRow] = field(default_factory=dict)
    made: dict[str, datetime] = field(default_factory=dict)
    strangers: set[str] = field(default_factory=set)
    """UUIDs of versions that hold no finetune request."""
    items: dict[str, Entry] = field(default_factory=dict)
    clock: datetime = START
    broken: set[str] = field(default_factory=set)
    """Methods that find ZenML down."""
    calls: list[str] = field(default_factory=list)
    cursor: StagesCursor = field(default_factory=StagesCursor)
    running: set[str] = field(default_factory=set)
    keys: list[str] = field(default_factory=list)

    # What people do in ZenML

    def create(self, name: str, *, stage: Stage = "none", foreign: bool = False) -> str:
        self.clock += timedelta(seconds=1)
        number = max((row.number for row in self.rows.values() if row.name == name), default=0) + 1
        uuid = str(uuid4())
        self.rows[uuid] = StageRow(uuid, name, number, stage, self.clock)
        self.made[uuid] = self.clock
        self.strangers |= {uuid} if foreign else set()
        return uuid

    def stage(self, uuid: str, stage: Stage, *, behind: timedelta = timedelta()) -> None:
        """Change a stage, on a machine whose clock is ``behind``."""
        self.clock += timedelta(seconds=1)
        row = self.rows[uuid]
        if stage == "production":
            for other in list(self.rows.values()):
                if other.name == row.name and other.stage == "production":
                    self.rows[other.uuid] = replace(other, stage="archived", updated=self.clock - behind)
        self.rows[uuid] = replace(row, stage=stage, updated=self.clock - behind)

    def delete(self, uuid: str) -> None:
        del self.rows[uuid]

    # What a publication does

    def publish(self, name: str) -> None:
        for row in [row for row in self.rows.values() if row.name == name]:
            if row.stage == "production" or row.uuid in self.items:
                id_ = version_id(name, row.number)
                self.items[row.uuid] = Entry(id_, row.uuid, row.number, row.stage != "production", name, "", BASE)
        self.items = {uuid: e for uuid, e in self.items.items() if e.family != name or uuid in self.rows}

    @property
    def agrees(self) -> bool:
        ours = [row for row in self.rows.values() if row.uuid not in self.strangers]
        return not disagreements(ours, list(self.items.values()))

    def tick(self, limits: StageLimits = USUAL, *, publish: bool = True) -> StagesLook:
        """One tick, and the runs it asked for."""
        found = look(cast(Services, self), self.cursor, [BASE], lambda: set(self.running), limits)
        self.cursor = StagesCursor.parse(found.cursor.dump())
        self.keys += [request.key for request in found.requests]
        for request in found.requests if publish else ():
            self.publish(request.family)
        return found

    def ticks(self, count: int, limits: StageLimits = USUAL, *, publish: bool = True) -> list[Recompute]:
        return [request for _ in range(count) for request in self.tick(limits, publish=publish).requests]

    # What is read of it

    @property
    def catalog(self) -> "World":
        return self

    @property
    def stages(self) -> "World":
        return self

    def entries(self, collection: str) -> list[Entry]:
        assert collection == "local-models"
        return list(self.items.values())

    def changed(self, since: datetime, page: int, size: int) -> RowPage:
        rows = [row for row in self.rows.values() if row.updated >= since.replace(microsecond=0)]
        return self._page("changed", sorted(rows, key=lambda row: (row.updated, row.uuid)), page, size)

    def in_production(self, page: int, size: int) -> RowPage:
        rows = [row for row in self.rows.values() if row.stage == "production"]
        return self._page("in_production", sorted(rows, key=lambda row: row.uuid), page, size)

    def family(self, name: str) -> tuple[StageRow, ...]:
        self._call("family")
        return tuple(row for row in self.rows.values() if row.name == name)

    def count(self, created_until: datetime) -> int:
        self._call("count")
        return sum(1 for uuid, moment in self.made.items() if moment <= created_until and uuid in self.rows)

    def versions(self, uuids: Sequence[str]) -> tuple[StageRow, ...]:
        self._call("versions")
        return tuple(self.rows[uuid] for uuid in uuids if uuid in self.rows)

    def gone(self, uuids: Sequence[str]) -> set[str]:
        self._call("gone")
        return {uuid for uuid in uuids if uuid not in self.rows}

    def base_models(self, uuids: Sequence[str]) -> dict[str, str]:
        self._call("base_models")
        return {uuid: BASE for uuid in uuids if uuid in self.rows and uuid not in self.strangers}

    def _page(self, method: str, rows: Sequence[StageRow], page: int, size: int) -> RowPage:
        self._call(method)
        return RowPage(tuple(rows[(page - 1) * size : page * size]), last=page * size >= len(rows))

    def _call(self, method: str) -> None:
        self.calls.append(method)
        if method in self.broken:
            raise ServiceError("ZenML's server did not answer")

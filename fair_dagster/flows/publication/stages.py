"""One look at ZenML's stages: which families have to be recomputed so that the catalog follows.

Three readings find families to look at: versions changed lately, for speed; a slice of what is in production and a
slice of the items, for certainty, because the slices come round to everything. Each family found is then compared
whole. Bounded in rows and calls; what is left over stays in the cursor. Starts no run and knows no Dagster.
"""

import bisect
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from fair_dagster.domain import items
from fair_dagster.domain.errors import ServiceError
from fair_dagster.domain.items.entries import Entry
from fair_dagster.domain.publication.findings import FEW
from fair_dagster.domain.publication.stage_changes import (
    DELETED,
    Disagreement,
    Open,
    StageRow,
    StagesCursor,
    agrees,
    cause_of,
    digest_of_cause,
    disagreements,
    distance,
)
from fair_dagster.domain.slugs import version_id
from fair_dagster.flows.services import Services

if TYPE_CHECKING:
    from fair_dagster.pipelines.zenml.stages import Stages

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FULL = 4
OVERLAP = timedelta(minutes=5)
"""Clocks that differ by less than this lose nothing."""


@dataclass(frozen=True)
class StageLimits:
    """What one tick may cost: pages of changed versions, rows a page, items looked up, families compared."""

    pages: int = 4
    rows: int = 500
    slice: int = 200
    sweep: int = 2000
    families: int = 50
    longest_distance: int = 120
    """Ticks between two attempts, at most."""


@dataclass(frozen=True)
class Recompute:
    """A family to recompute, as the partition ``partition`` of ``base_model`` or, without one, by name."""

    family: str
    cause: str
    key: str
    base_model: str = ""
    partition: str = ""


@dataclass(frozen=True)
class StagesLook:
    """What one look has found. ``partitions_gone`` are (base model, version id); ``notes`` are for people."""

    cursor: StagesCursor
    requests: tuple[Recompute, ...] = ()
    partitions_gone: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _StageIndex:
    """The items of finetuned models, in the two ways they are asked for."""

    by_uid: Mapping[str, Entry]
    by_family: Mapping[str, Sequence[Entry]]

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> "_StageIndex":
        families = defaultdict(list)
        for entry in entries:
            families[entry.family].append(entry)
        return cls({entry.uid: entry for entry in entries if entry.uid}, families)


def look(
    services: Services,
    cursor: StagesCursor,
    slugs: Collection[str],
    running: Callable[[], Collection[str]],
    limits: StageLimits = StageLimits(),
) -> StagesLook:
    """Compare and decide.

    Args:
        cursor: what the former look left; an empty one compares everything anew and is harmless.
        slugs: base models that have assets, and so partitions.
        running: names of families for which a run is queued or going on.

    Raises:
        ServiceError: ZenML did not answer, or has none of the versions that have items. Nothing is known then, and the
            cursor must stay as it was.
        CatalogError: the catalog could not be read; the same.
    """
    index = _StageIndex.of(services.catalog.entries(items.LOCAL_MODELS))
    cursor = replace(cursor, tick=cursor.tick + 1, name=cursor.name or uuid4().hex[:8])
    cursor = _watch_items(services.stages, cursor, index, limits)
    if cursor.waiting < limits.families * _FULL:
        # Otherwise the families noticed before come first: what the cursor holds stays bounded.
        cursor = _watch_changes(services.stages, cursor, index, limits)
        cursor = _watch_production(services.stages, cursor, index, limits)
    cursor = _counted(services.stages, cursor)
    return _decide(services.stages, cursor, index, running, _Rules(slugs, limits))


def _watch_changes(stages: "Stages", cursor: StagesCursor, index: _StageIndex, limits: StageLimits) -> StagesCursor:
    """Read on from the last change seen.

    A page goes on from the second of its last row, not by number: a row that changes meanwhile moves to the end of the
    listing and would pull another one over the edge of the page. Only many rows of one second go by number.
    """
    start, page = cursor.resume or ((cursor.seen - OVERLAP) if cursor.seen else EPOCH, 1)
    rows: list[StageRow] = []
    resume = None
    for _ in range(limits.pages):
        found = stages.changed(start, page, limits.rows)
        rows += found.rows
        if found.last:
            resume = None
            break
        last = found.rows[-1].updated.replace(microsecond=0)
        start, page = (last, 1) if last > start else (start, page + 1)
        resume = (start, page)
    # A clock that was years ahead must not make us blind to all changes until then.
    latest = datetime.now(UTC) + OVERLAP
    moments = [min(row.updated, latest) for row in rows] + ([cursor.seen] if cursor.seen else [])
    cursor = replace(cursor, seen=max(moments, default=None), resume=resume)
    return cursor.noticed(_noticed(stages, cursor, rows, index))


def _watch_production(stages: "Stages", cursor: StagesCursor, index: _StageIndex, limits: StageLimits) -> StagesCursor:
    """Look at the next slice of versions in production: whatever was missed is found in the end."""
    found = stages.in_production(cursor.production_page, limits.slice)
    cursor = replace(cursor, production_page=1 if found.last else cursor.production_page + 1)
    return cursor.noticed(_noticed(stages, cursor, found.rows, index))


def _watch_items(stages: "Stages", cursor: StagesCursor, index: _StageIndex, limits: StageLimits) -> StagesCursor:
    """Look up the next slice of the items' versions; many more of them when ZenML has fewer versions than before."""
    sweep = cursor.sweep
    if cursor.counted is not None and stages.count(cursor.counted[0]) < cursor.counted[1]:
        sweep = len(index.by_uid)
    uuids = sorted(index.by_uid)
    begin = bisect.bisect_right(uuids, cursor.checked)
    in_turn = (uuids[begin:] + uuids[:begin])[: max(min(sweep, limits.sweep), limits.slice)]
    whole, quick = in_turn[: limits.slice], in_turn[limits.slice :]
    rows = stages.versions(whole) if whole else ()
    gone = set(whole) - {row.uuid for row in rows}
    gone |= stages.gone(quick) if quick else set()
    if gone and len(gone) == len(in_turn):
        _require_known(stages, uuids, limits.slice)
    cursor = replace(cursor, checked=in_turn[-1] if in_turn else cursor.checked, sweep=max(sweep - len(in_turn), 0))
    # Which of a family's versions are gone is seen when it is compared whole.
    cursor = cursor.noticed({index.by_uid[uuid].family: None for uuid in gone})
    return cursor.noticed(_noticed(stages, cursor, rows, index))


def _require_known(stages: "Stages", uuids: Sequence[str], slice_: int) -> None:
    """Make sure that ZenML knows one at least of the versions that have items, unless these are few.

    Raises:
        ServiceError: it knows none. Then it is another ZenML or an empty one, and what is not in it was not deleted.
    """
    if len(uuids) <= FEW:
        return
    for start in range(0, len(uuids), slice_):
        chosen = uuids[start : start + slice_]
        if len(stages.gone(chosen)) < len(chosen):
            return
    raise ServiceError(
        f"ZenML has none of the {len(uuids)} versions that the catalog has items of: it is another ZenML or an empty "
        "one, and no item is removed for that. Check ZENML_STORE_URL and the active project of the process that runs "
        "Dagster. If all versions were deleted on purpose: fair-dagster catalog reconcile --repair --all-deleted"
    )


def _counted(stages: "Stages", cursor: StagesCursor) -> StagesCursor:
    """Remember how many versions there are, so that the next tick sees when some have gone."""
    if cursor.seen is None:
        return cursor
    return replace(cursor, counted=(cursor.seen, stages.count(cursor.seen)))


def _noticed(
    stages: "Stages", cursor: StagesCursor, rows: Sequence[StageRow], index: _StageIndex
) -> dict[str, datetime | None]:
    """The families of rows that disagree with their items, each with its newest change.

    A ZenML server may serve others too. A model of which nothing was made by this system and nothing is published is
    none of ours, and would only fail.
    """
    differing = [row for row in rows if not agrees(row, index.by_uid.get(row.uuid))]
    known = {row.name for row in differing if row.name in index.by_family or row.name in cursor.open}
    strange = [row.uuid for row in differing if row.name not in known]
    ours = stages.base_models(strange) if strange else {}
    noticed: dict[str, datetime | None] = {}
    for row in differing:
        if row.name in known or row.uuid in ours:
            noticed[row.name] = max(row.updated, noticed.get(row.name) or EPOCH)
    return noticed


@dataclass(frozen=True)
class _Rules:
    slugs: Collection[str]
    limits: StageLimits


def _decide(
    stages: "Stages",
    cursor: StagesCursor,
    index: _StageIndex,
    running: Callable[[], Collection[str]],
    rules: _Rules,
) -> StagesLook:
    """Compare the families that are due, whole, and ask for a run where they still disagree."""
    due = cursor.due(rules.limits.families)
    # Runs first, ZenML second: a run that ends in between is taken for one that goes on, never for one that failed.
    going = running() if due else ()
    entries = {name: index.by_family.get(name, ()) for name in due}
    rows = {name: stages.family(name) for name in due}
    found = {name: disagreements(rows[name], entries[name]) for name in due}
    uuids = [one.uuid for name in due for one in found[name] if one.state == "production"]
    parents = stages.base_models(uuids) if uuids else {}
    opened, requests, partitions_gone = dict(cursor.open), [], []
    for name in due:
        known = opened.pop(name)
        ids = {version_id(row.name, row.number) for row in rows[name]} | {entry.id for entry in entries[name]}
        if not found[name] or not (entries[name] or any(one.uuid in parents for one in found[name])):
            partitions_gone += [(base_model, id_) for base_model, id_ in known.gone if id_ not in ids]
        elif name in going:
            opened[name] = replace(known, due=cursor.tick + 1)
        else:
            opened[name] = _requested(known, found[name], rows[name], cursor.tick, rules.limits)
            key = f"{name}:{opened[name].cause}:{cursor.name}:{opened[name].attempt}"
            requests.append(_request(Recompute(name, cause_of(found[name]), key), found[name], parents, rules.slugs))
    notes = tuple(f"{request.family}: {request.cause}" for request in requests)
    return StagesLook(replace(cursor, open=opened), tuple(requests), tuple(partitions_gone), notes)


def _requested(
    known: Open, found: Sequence[Disagreement], rows: Sequence[StageRow], tick: int, limits: StageLimits
) -> Open:
    cause = digest_of_cause(found)
    attempt = known.attempt + 1 if cause == known.cause else 1
    gone = {(one.base_model, one.id) for one in found if one.state == DELETED and one.base_model}
    return Open(
        attempt=attempt,
        due=tick + distance(attempt, limits.longest_distance),
        cause=cause,
        latest=max((row.updated.isoformat() for row in rows), default=""),
        gone=tuple(sorted(gone | set(known.gone))),
    )


def _request(
    request: Recompute, found: Sequence[Disagreement], parents: Mapping[str, str], slugs: Collection[str]
) -> Recompute:
    """As the partition of the version put into production, else of one that has an item; else by name."""
    in_production = [(parents.get(one.uuid, ""), one.id) for one in found if one.state == "production"]
    others = [(one.base_model, one.id) for one in found if one.state not in {"production", DELETED}]
    for base_model, id_ in in_production or others:
        if base_model in slugs:
            return replace(request, base_model=base_model, partition=id_)
    return request

"""Writing a pgstac: a change set in one transaction, by pgstac's own functions, so that its bookkeeping stays right.

Writers of one family wait for each other, those of different families do not. Reading is ``pgstac_items``; the
documents of collections are ``pgstac_collections``.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from fair_dagster.catalog.conflicts import conflict, conflicts, is_in_effect, keys_of
from fair_dagster.catalog.pgstac import Connection, Pgstac
from fair_dagster.catalog.pgstac_collections import widen
from fair_dagster.catalog.pgstac_items import active_ids, locked
from fair_dagster.catalog.stac_items import Stored, by_collection, family_of
from fair_dagster.catalog.stac_layout import StacLayout
from fair_dagster.domain.changes import ChangeSet, Item, ItemKey
from fair_dagster.domain.items import is_active

_MANY_FAMILIES = 200
"""With more than these a set takes whole collections: PostgreSQL has room for some thousand locks."""

# Widens the range of datetimes that a partition admits, a year ahead of what is needed. pgstac itself widens it by as
# much as each item needs, and reads the whole partition under an exclusive lock; items come with ever newer datetimes.
_MAKE_ROOM = """
WITH fresh AS (
    SELECT e->>'collection' AS collection, stac_daterange(e->'properties') AS range
    FROM jsonb_array_elements(%s::text::jsonb) e
), wanted AS (
    SELECT ps.partition, min(lower(range)) AS first, max(lower(range)) AS last, min(upper(range)) AS first_end,
        max(upper(range)) AS last_end
    FROM fresh JOIN partition_stats ps ON ps.collection = fresh.collection AND ps.partition_dtrange @> lower(range)
    GROUP BY ps.partition
)
SELECT create_table_constraints(
    partition,
    tstzrange(
        least(lower(m.constraint_dtrange),
            CASE WHEN first < lower(m.constraint_dtrange) THEN first - interval '1 year' END),
        greatest(upper(m.constraint_dtrange),
            CASE WHEN last > upper(m.constraint_dtrange) THEN last + interval '1 year' END),
        '[]'),
    tstzrange(
        least(lower(m.constraint_edtrange),
            CASE WHEN first_end < lower(m.constraint_edtrange) THEN first_end - interval '1 year' END),
        greatest(upper(m.constraint_edtrange),
            CASE WHEN last_end > upper(m.constraint_edtrange) THEN last_end + interval '1 year' END),
        '[]'))
FROM wanted CROSS JOIN LATERAL partition_catalog_meta(wanted.partition) m
WHERE NOT (m.constraint_dtrange @> tstzrange(first, last, '[]')
    AND m.constraint_edtrange @> tstzrange(first_end, last_end, '[]'))
"""


class PgstacWriter:
    """Applies change sets to one database."""

    def __init__(self, database: Pgstac, layout: StacLayout) -> None:
        self._database = database
        self._layout = layout

    def apply(self, changes: ChangeSet, stored: dict[ItemKey, Item]) -> list[Stored]:
        """Apply ``changes``, all or nothing, and return the damaged items that were overwritten.

        Args:
            changes: applicable ones.
            stored: the new items in the form in which they are stored.

        Raises:
            ConflictError: an item differs from its precondition, a change does not fit what is there, or a family would
                have two active items.
            CatalogError: the database does not answer or refuses.
            RefusedError: it cannot hold an item.
        """
        if stored:
            text = orjson.dumps(list(stored.values())).decode()
            self._database.run(lambda connection, _: connection.execute(_MAKE_ROOM, [text]))
        return self._database.run(lambda connection, uncertain: self._applied(connection, changes, stored, uncertain))

    def _applied(
        self, connection: Connection, changes: ChangeSet, stored: dict[ItemKey, Item], uncertain: bool
    ) -> list[Stored]:
        lock_families(connection, {family_of(key) for key in keys_of(changes)})
        found = locked(connection, self._layout, keys_of(changes))
        if uncertain and all(is_in_effect(change, found) for change in changes.changes):
            return []
        if problems := conflicts(changes, found):
            raise conflict(problems)
        widen(connection, [change.item for change in changes.changes if change.item is not None])
        for collection, ids in by_collection(key for key in (change.key for change in changes.changes) if key in found):
            connection.execute("SELECT delete_item(id, %s) FROM unnest(%s::text[]) id", [collection, ids])
        for group in _by_collection(stored):
            connection.execute("SELECT create_items(%s::text::jsonb)", [orjson.dumps(group).decode()])
        self._require_one_active(connection, changes)
        return [found[c.key] for c in changes.changes if c.key in found and found[c.key].item is None]

    def _require_one_active(self, connection: Connection, changes: ChangeSet) -> None:
        """Whoever activates an item sees to it that no other of the family is active, also one that it has not read."""
        activated = {family_of(c.key) for c in changes.changes if c.item is not None and is_active(c.item)}
        problems = []
        for family in sorted(activated, key=str):
            active = active_ids(connection, family.collection, family.id)
            if len(active) > 1:
                problems.append(f"{family} would have {len(active)} active items: {', '.join(active)}")
        if problems:
            raise conflict(problems)


def lock_families(connection: Connection, families: set[ItemKey]) -> None:
    """Hold these families against every other writer of this program, until the transaction ends.

    Locks are taken in one order, so that two sets with the same families never wait for each other in a circle. A set
    of very many families takes their collections instead; everybody else holds those in common.
    """
    many = len(families) > _MANY_FAMILIES
    shared = "pg_advisory_xact_lock" if many else "pg_advisory_xact_lock_shared"
    collections = sorted(_lock_number(f"collection {family.collection}") for family in families)
    _lock(connection, shared, collections)
    if not many:
        _lock(connection, "pg_advisory_xact_lock", sorted(_lock_number(f"family {family}") for family in families))


def _lock(connection: Connection, function: str, numbers: Iterable[int]) -> None:
    for number in dict.fromkeys(numbers):
        connection.execute(f"SELECT {function}(%s)", [number])


def _lock_number(name: str) -> int:
    """A number for an advisory lock; two names with the same number only wait for each other."""
    return int.from_bytes(hashlib.sha256(f"fair-dagster {name}".encode()).digest()[:8], signed=True)


def _by_collection(stored: dict[ItemKey, Item]) -> list[Sequence[dict[str, Any]]]:
    """In the order in which everybody writes collections: their statistics are locked until the transaction ends."""
    return [[stored[ItemKey(name, item_id)] for item_id in ids] for name, ids in by_collection(stored)]

"""Writing a pgstac: a change set in one transaction, by pgstac's own functions, so that its bookkeeping stays right.

Writers of one family wait for each other, those of different families do not. Reading is ``pgstac_items``; the
documents of collections are ``pgstac_collections``; partitions are ``pgstac_rooms``.

See docs/decisions/0020.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from fair_dagster.catalog.pgstac.collections import widen
from fair_dagster.catalog.pgstac.connection import Connection, Pgstac
from fair_dagster.catalog.pgstac.items import active_ids, lock_items
from fair_dagster.catalog.pgstac.locks import lock_families
from fair_dagster.catalog.pgstac.partitions import in_room, require_room
from fair_dagster.catalog.pgstac.spans import Spans
from fair_dagster.catalog.stac_api.conflicts import conflict, conflicts, is_in_effect, keys_of
from fair_dagster.catalog.stac_api.copies import Aside, item_copies
from fair_dagster.catalog.stac_api.items import by_collection, family_of
from fair_dagster.catalog.stac_api.layout import StacLayout
from fair_dagster.domain.items.fields import is_active
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import ChangeSet


class PgstacWriter:
    """Applies change sets to one database."""

    def __init__(self, database: Pgstac, layout: StacLayout, aside: Aside) -> None:
        self._database = database
        self._layout = layout
        self._aside = aside

    def apply(self, changes: ChangeSet, stored: dict[ItemKey, Item]) -> None:
        """Apply ``changes``, all or nothing. Of a damaged item a copy is put aside before it is overwritten.

        Args:
            changes: applicable ones.
            stored: the new items in the form in which they are stored.

        Raises:
            ConflictError: an item differs from its precondition, a change does not fit what is there, or a family would
                have two active items.
            CatalogError: the database does not answer or refuses, or there is no room for a copy.
            RefusedError: it cannot hold an item.
        """
        spans = Spans(stored.values())

        def act(connection: Connection, uncertain: bool) -> None:
            self._applied(connection, changes, stored, spans, uncertain)

        in_room(self._database, spans, act)

    def _applied(
        self, connection: Connection, changes: ChangeSet, stored: dict[ItemKey, Item], spans: Spans, uncertain: bool
    ) -> None:
        lock_families(connection, {family_of(key) for key in keys_of(changes)})
        found = lock_items(connection, self._layout, keys_of(changes))
        if uncertain and all(is_in_effect(change, found) for change in changes.changes):
            return
        if problems := conflicts(changes, found):
            raise conflict(problems)
        # Before pgstac would make it, in the middle of this transaction.
        require_room(connection, spans)
        self._aside.keep(item_copies(found[change.key] for change in changes.changes if change.key in found))
        widen(connection, [change.item for change in changes.changes if change.item is not None])
        for collection, ids in by_collection(key for key in (change.key for change in changes.changes) if key in found):
            connection.execute("SELECT delete_item(id, %s) FROM unnest(%s::text[]) id", [collection, ids])
        for group in _by_collection(stored):
            connection.execute("SELECT create_items(%s::text::jsonb)", [orjson.dumps(group).decode()])
        self._require_one_active(connection, changes)

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


def _by_collection(stored: dict[ItemKey, Item]) -> list[Sequence[dict[str, Any]]]:
    """In the order in which everybody writes collections: their statistics are locked until the transaction ends."""
    return [[stored[ItemKey(name, item_id)] for item_id in ids] for name, ids in by_collection(stored)]

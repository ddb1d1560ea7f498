"""The one road of a write: what a family should be, against what the catalog holds of it, validated and applied.

Promotions, deletions, registrations, patches, backfills and repairs all end here. What should be is computed in
``domain.publication``. Where a family is read from, and what becomes of its artifacts, stands with its kind:
``families`` has finetuned models, ``releases`` base models and datasets, ``released`` their repair.

See docs/decisions/0052.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain.errors import ConflictError
from fair_dagster.domain.items.damage import DamagedItem
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.domain.publication.desired import Family, desired_items, relink_parents
from fair_dagster.domain.publication.drift import diff, over_damaged

if TYPE_CHECKING:
    from fair_dagster.catalog.validation.validator import Validator

_ATTEMPTS = 8


@dataclass(frozen=True)
class Plan:
    """A family as it should be, and what the catalog holds of it.

    Attributes:
        family: as it should be.
        published: its items in the catalog.
        damaged: its items that cannot be read. What should be in their place overwrites them.
        removes_damaged: remove the other damaged items; otherwise they stay as they are.
        find_children: reads the items that were made from the family. They are asked for when an id in it moves, and
            their links follow.
    """

    family: Family
    published: Sequence[Item]
    damaged: Sequence[DamagedItem] = ()
    removes_damaged: bool = False
    find_children: Callable[[], Sequence[Item]] = tuple

    def changes(self) -> ChangeSet:
        """What turns the family as it is into the family as it should be."""
        desired = desired_items(self.family)
        children = self.find_children() if _moves_ids(self.published, desired) else ()
        relinked = relink_parents(children, {(self.family.collection, self.family.slug): desired})
        changes = diff([*self.published, *children], [*desired, *relinked])
        return over_damaged(changes, self.damaged, delete=self.removes_damaged)


def _moves_ids(published: Sequence[Item], desired: Sequence[Item]) -> bool:
    """Whether a version that exists already gets another id, so that links to it must follow."""
    ids = {item["properties"].get("version"): item["id"] for item in desired}
    return any(ids.get(item["properties"].get("version")) != item["id"] for item in published)


def write(catalog: CatalogStore, changes: ChangeSet, validator: "Validator | None" = None) -> ChangeSet:
    """Apply ``changes``, all or none.

    Args:
        validator: refuses items that are not valid. It is left out where the items were validated when they came in,
            and where an item that has become invalid must be retired or relinked all the same.

    Raises:
        ConflictError: another writer was faster; decide again.
        RefusedError: an item would not be valid.
    """
    if validator is not None:
        for change in changes.changes:
            if change.item is not None:
                validator.require(change.item)
    if changes:
        catalog.apply(changes)
    return changes


def apply(catalog: CatalogStore, decide: Callable[[], ChangeSet], validator: "Validator | None" = None) -> ChangeSet:
    """``write`` what ``decide`` returns. It reads and decides again when another writer was faster.

    Raises:
        ConflictError: other writers kept being faster.
        RefusedError: as ``write``.
    """
    return retry(lambda: write(catalog, decide(), validator))


def retry(act: Callable[[], ChangeSet]) -> ChangeSet:
    """Call ``act``, again when it lost against another writer; it reads anew each time."""
    for _ in range(_ATTEMPTS - 1):
        with suppress(ConflictError):
            return act()
    return act()

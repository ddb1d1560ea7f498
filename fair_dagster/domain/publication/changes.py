"""What a write to the catalog is made of: changes to items, each with its reason.

Built by ``drift``, applied by a catalog store, shown to people. Nothing here decides or writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fair_dagster.domain.items.stac import Item, ItemKey

Action = Literal["create", "update", "delete"]


@dataclass(frozen=True)
class Change:
    """One item created, updated or deleted. ``item`` is the whole new item; None for a delete."""

    action: Action
    key: ItemKey
    reason: str
    item: Item | None = None


@dataclass(frozen=True)
class ChangeSet:
    """Changes that are applied together or not at all.

    ``preconditions`` holds the digest of every item that the decision was made from (None: was absent).
    A store refuses the set with ``ConflictError`` when one of them has changed since.
    """

    changes: tuple[Change, ...] = ()
    preconditions: Mapping[ItemKey, str | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __len__(self) -> int:
        return len(self.changes)

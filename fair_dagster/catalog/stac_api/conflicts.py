"""Whether a change set still fits what is stored: the rules of the stores that read before they write. Pure."""

from collections.abc import Mapping

from fair_dagster.catalog.stac_api.items import Stored
from fair_dagster.domain.errors import ConflictError
from fair_dagster.domain.items.stac import ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet

Found = Mapping[ItemKey, Stored]
"""The items that exist, among those that a change set names."""


def keys_of(changes: ChangeSet) -> list[ItemKey]:
    """The items that have to be looked at: those that are changed and those the decision was made from."""
    return list(dict.fromkeys([*changes.preconditions, *(change.key for change in changes.changes)]))


def is_in_effect(change: Change, found: Found) -> bool:
    """Whether what ``change`` wants is so already."""
    stored = found.get(change.key)
    return stored is None if change.item is None else stored is not None and stored.item == change.item


def conflicts(changes: ChangeSet, found: Found, *, resumed: bool = False) -> list[str]:
    """Why ``changes`` do not fit; empty when they do.

    Args:
        resumed: an earlier attempt of the same set may have got through, in part: what is in effect is no conflict.
    """
    done = {change.key for change in changes.changes if resumed and is_in_effect(change, found)}
    problems = []
    for key, expected in changes.preconditions.items():
        stored = found.get(key)
        if key not in done and (stored.digest if stored is not None else None) != expected:
            problems.append(f"{key} has been changed since it was read")
    for change in changes.changes:
        if change.key in done:
            continue
        if change.action == "create" and change.key in found:
            problems.append(f"{change.key} exists already and cannot be created")
        if change.action == "update" and change.key not in found:
            problems.append(f"{change.key} does not exist and cannot be updated")
    return problems


def conflict(problems: list[str]) -> ConflictError:
    return ConflictError(f"{'; '.join(problems)}. Read the catalog again and repeat; nothing was written")

"""What is wrong with a change set whatever the catalog holds. Nothing here reads or writes a file."""

from fair_dagster.catalog.json.layout import key_problems
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.links import key_of
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import ChangeSet


def require_applicable(changes: ChangeSet) -> None:
    """Refuse what no catalog could take.

    Raises:
        RefusedError: every problem is named.
    """
    problems = []
    seen: set[ItemKey] = set()
    for change in changes.changes:
        problems += key_problems(change.key)
        if change.key in seen:
            problems.append(f"{change.key} is changed twice")
        seen.add(change.key)
        if (change.item is None) != (change.action == "delete"):
            given = "without" if change.item is None else "with"
            problems.append(f"{change.key}: a {change.action} comes {given} an item")
        if change.item is not None:
            problems += _item_problems(change.item, change.key)
    if problems:
        raise RefusedError("the change of the catalog", problems)


def _item_problems(item: Item, key: ItemKey) -> list[str]:
    problems = []
    if item.get("id") != key.id or item.get("collection", key.collection) != key.collection:
        problems.append(f"{key}: the item calls itself {item.get('collection')}/{item.get('id')}")
    if not isinstance(item.get("properties"), dict):
        problems.append(f"{key}: the item has no properties")
    for link in item.get("links", []):
        target = key_of(str(link.get("href", "")))
        problems += [f"{key}: link {link.get('rel')!r}: {p}" for p in (key_problems(target) if target else [])]
    return problems

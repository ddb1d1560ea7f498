"""The difference between the catalog as it is and as it should be: what to create, update and delete, and why.

Users' own fields are carried over here, so that no recompute loses them. Nothing here reads or writes a catalog.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from fair_dagster.domain.items.copies import copy_item
from fair_dagster.domain.items.damage import DamagedItem
from fair_dagster.domain.items.digests import digest_of
from fair_dagster.domain.items.fields import SCHEMA_ROOT, ZENML_UID
from fair_dagster.domain.items.links import Link
from fair_dagster.domain.items.patches import PATCHED, is_managed_asset, is_managed_link, is_managed_property
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet

_STAMPS = ("created", "updated")
_DAMAGED = "its file was damaged, and a copy is in the catalog's folder .damaged"
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def diff(actual: Sequence[Item], desired: Sequence[Item], *, now: datetime | None = None) -> ChangeSet:
    """The changes that turn ``actual`` into ``desired``; both hold the items of whole families.

    ``updated`` moves only when something else changes, so that a second application changes nothing.
    """
    stamp = _stamp(now)
    before = {_key(item): item for item in actual}
    after = {_key(item): item for item in desired}
    changes = []
    for key, wanted in after.items():
        if key not in before:
            item = copy_item(wanted)
            item["properties"] = _without_stamps(item) | {"created": stamp} | _stamps(item) | {"updated": stamp}
            changes.append(Change("create", key, _creation_reason(item), item))
            continue
        item = overlay(before[key], wanted)
        if differing := differences(before[key], item):
            item["properties"] |= {"created": item["properties"].get("created", stamp), "updated": stamp}
            changes.append(Change("update", key, ", ".join(differing), item))
    changes += [Change("delete", key, "no version of it is published any more") for key in before if key not in after]
    preconditions: dict[ItemKey, str | None] = {key: digest_of(item) for key, item in before.items()}
    preconditions |= {key: None for key in after if key not in before}
    return ChangeSet(tuple(changes), preconditions)


def to_edit(before: Item, after: Item, *, now: datetime | None = None) -> ChangeSet:
    """The change that a user's edit of one item is; empty when it changes nothing."""
    differing = differences(before, after)
    if not differing:
        return ChangeSet()
    item = copy_item(after)
    item["properties"]["updated"] = _stamp(now)
    change = Change("update", _key(before), f"patched: {', '.join(differing)}", item)
    return ChangeSet((change,), {_key(before): digest_of(before)})


def _stamp(now: datetime | None) -> str:
    return (now or datetime.now(UTC)).isoformat(timespec="seconds").replace("+00:00", "Z")


def overlay(actual: Item, desired: Item) -> Item:
    """``desired`` with what users own on ``actual``.

    Where the id has been taken over by another version, only what was patched moves along, unless it was patched on
    that version itself: the rest of the unmanaged fields came with the old version.
    """
    if is_of_another(actual, desired["properties"].get(ZENML_UID)):
        # ZenML gave the number of a deleted version to another one: nothing of the old one belongs to it.
        return copy_item(desired)
    same_version = actual["properties"].get("version") == desired["properties"].get("version")
    patched, own = _patched(actual), _patched(desired)
    moving = patched if same_version else patched - own
    item = copy_item(desired)
    for section in ("properties", "assets"):
        item[section] = _overlaid(section, actual.get(section, {}), item.get(section, {}), moving, same_version)
    item["properties"] = _without_stamps(item) | _stamps(desired) | _stamps(actual)
    if patched | own:
        item["properties"][PATCHED] = sorted(patched | own)
    else:
        item["properties"].pop(PATCHED, None)
    if same_version or "links" in moving:
        item["links"] = _managed(item["links"]) + _unmanaged(actual.get("links", []))
    if same_version or "stac_extensions" in moving:
        foreign = {uri for uri in actual.get("stac_extensions", []) if not uri.startswith(SCHEMA_ROOT)}
        item["stac_extensions"] = sorted({*item.get("stac_extensions", []), *foreign})
    return item


def is_of_another(item: Item, uid: str | None) -> bool:
    """Whether ``item`` stands for another ZenML version than ``uid``, and not only lost or mistyped its UUID."""
    found = item["properties"].get(ZENML_UID)
    return found != uid and is_uuid(found)


def is_uuid(text: object) -> bool:
    """Whether ``text`` is a UUID as ZenML writes it."""
    with suppress(ValueError):
        return isinstance(text, str) and str(UUID(text)) == text
    return False


def _patched(item: Item) -> frozenset[str]:
    """What users patched on ``item``. A field that became managed since is no user's any more."""
    names = item["properties"].get(PATCHED, [])
    return frozenset(name for name in names if not is_managed_property(name.removeprefix("properties.")))


def _stamps(item: Item) -> dict[str, Any]:
    """The times that ``item`` says it was written at; what is no time does not count."""
    return {name: item["properties"][name] for name in _STAMPS if _is_time(item["properties"].get(name))}


def _without_stamps(item: Item) -> dict[str, Any]:
    return {name: value for name, value in item["properties"].items() if name not in _STAMPS}


def _is_time(text: object) -> bool:
    with suppress(ValueError):
        return isinstance(text, str) and bool(_RFC_3339.fullmatch(text)) and bool(datetime.fromisoformat(text))
    return False


def _overlaid(
    section: str,
    actual: dict[str, Any],
    desired: dict[str, Any],
    patched: frozenset[str],
    same_version: bool,
) -> dict[str, Any]:
    result = dict(desired)
    for name in {*actual, *desired}:
        managed = (
            is_managed_property(name)
            if section == "properties"
            else is_managed_asset(name, desired.get(name, actual.get(name)))
        )
        belongs_to_user = f"{section}.{name}" in patched or (same_version and name in actual)
        if managed or not belongs_to_user:
            continue
        if name in actual:
            result[name] = copy_item(actual[name])
            if section == "assets" and f"assets.{name}" not in patched:
                _follow(result[name], desired.get(name, {}))
        else:
            result.pop(name, None)
    return result


def _follow(asset: dict[str, Any], desired: dict[str, Any]) -> None:
    """Where a published file stands is ours to say, whoever owns the rest of its asset."""
    if desired.get("file:checksum") and asset.get("file:checksum") == desired["file:checksum"] and "href" in desired:
        asset["href"] = desired["href"]


def _managed(links: Sequence[Link]) -> list[Link]:
    return [link for link in links if is_managed_link(link)]


def _unmanaged(links: Sequence[Link]) -> list[Link]:
    return [copy_item(link) for link in links if not is_managed_link(link)]


def differences(before: Item, after: Item) -> list[str]:
    """The names of the fields in which two items differ. Another time of the last update is no difference; none is."""
    found = []
    for section in ("properties", "assets"):
        old, new = before.get(section, {}), after.get(section, {})
        names = sorted(n for n in {*old, *new} if n != "updated" and old.get(n) != new.get(n))
        if "updated" in old and "updated" not in new:
            names.append("updated")
        found += [f"{section}.{name}" for name in names]
    for field in ("stac_extensions", "geometry", "bbox", "stac_version", "collection"):
        if before.get(field) != after.get(field):
            found.append(field)
    if _sorted_links(before) != _sorted_links(after):
        found.append("links")
    return found


def _sorted_links(item: Item) -> list[tuple[tuple[str, str], ...]]:
    return sorted(tuple(sorted((k, str(v)) for k, v in link.items())) for link in item.get("links", []))


def _key(item: Item) -> ItemKey:
    return ItemKey(item["collection"], item["id"])


def _creation_reason(item: Item) -> str:
    state = "deprecated" if item["properties"].get("deprecated") else "active"
    return f"version {item['properties'].get('version')} is published and {state}"


def over_damaged(changes: ChangeSet, damaged: Sequence[DamagedItem], *, delete: bool = False) -> ChangeSet:
    """``changes`` that know of the damaged files they meet: what would be created there overwrites them.

    Args:
        delete: remove the damaged items that ``changes`` do not write; otherwise they stay as they are.
    """
    digests = {one.key: one.digest for one in damaged}
    over = [
        Change("update", change.key, f"{change.reason}; {_DAMAGED}", change.item)
        if change.key in digests and change.action == "create"
        else change
        for change in changes.changes
    ]
    written = {change.key for change in over}
    if delete:
        over += [
            Change("delete", key, f"no version of it is published; {_DAMAGED}") for key in digests if key not in written
        ]
    met = {change.key for change in over} | set(changes.preconditions)
    preconditions: dict[ItemKey, str | None] = dict(changes.preconditions)
    preconditions |= {key: digest for key, digest in digests.items() if key in met}
    return ChangeSet(tuple(over), preconditions)

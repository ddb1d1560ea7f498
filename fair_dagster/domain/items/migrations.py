"""From one version of our item schemas to the next: a table of pure functions, chained.

A migration gets an item of its version and returns it with what the next version asks for. Everything that the two
versions agree on stays as it is: fields of users, links, assets, stamps. Nothing here reads, writes or validates.

See docs/decisions/0010.
"""

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fair_dagster.domain import items
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.coverage import Knowledge, derived_properties
from fair_dagster.domain.items.patches import PATCHED
from fair_dagster.domain.items.stac import Item

FIRST_VERSION = "1.0.0"
"""What an item follows that does not say so."""

_DECLARED = re.compile(
    re.escape(items.SCHEMA_ROOT) + r"/(?P<kind>[a-z-]+)/v(?P<version>[0-9]+\.[0-9]+\.[0-9]+)/schema\.json"
)
_VERSION = re.compile(r"[0-9]+(\.[0-9]+){2}")

Step = Callable[[Item, Knowledge], Item]


@dataclass(frozen=True)
class Migration:
    """One step of the chain. ``step`` may change the item that it is handed, which is a copy."""

    before: str
    after: str
    step: Step


def _name_category_and_coverage(item: Item, knowledge: Knowledge) -> Item:
    """Before 1.1.0 both names were free. What a user wrote there is overwritten, and no longer noted as theirs."""
    properties = item["properties"] | derived_properties(item, knowledge)
    theirs = [f"properties.{name}" for name in ("fair:category", "fair:coverage")]
    if PATCHED in properties:
        properties[PATCHED] = [name for name in properties[PATCHED] if name not in theirs]
    return item | {"properties": properties}


MIGRATIONS: tuple[Migration, ...] = (Migration("1.0.0", "1.1.0", _name_category_and_coverage),)


def schema_version(item: Item) -> str:
    """The version of our schemas that an item follows: what it says, or what it declares, or the first one."""
    properties = item.get("properties")
    said = properties.get("fair:schema_version") if isinstance(properties, dict) else None
    if said is not None:
        return str(said)
    declared = [match["version"] for uri in _extensions(item) if (match := _DECLARED.fullmatch(uri))]
    return max(declared, key=_ordered, default=FIRST_VERSION)


def is_outdated(item: Item, newest: str = items.SCHEMA_VERSION) -> bool:
    """Whether a newer version of our schemas exists than the item follows.

    An item of a version that is newer than this release, or that is no version at all, is not outdated: it cannot be
    migrated, and ``migrate`` says so.
    """
    found = schema_version(item)
    return bool(_VERSION.fullmatch(found)) and _ordered(found) < _ordered(newest)


def migrate(
    item: Item,
    knowledge: Knowledge,
    to: str = items.SCHEMA_VERSION,
    migrations: Sequence[Migration] = MIGRATIONS,
) -> Item:
    """``item`` as version ``to`` of our schemas wants it; the item itself where it follows that already.

    Raises:
        RefusedError: no chain of migrations leads from the item's version to ``to``.
    """
    current = schema_version(item)
    if current == to:
        return item
    migrated = copy.deepcopy(item)
    for migration in _chain(item, current, to, migrations):
        migrated = migration.step(migrated, knowledge)
        migrated["properties"]["fair:schema_version"] = migration.after
    migrated["stac_extensions"] = sorted(
        {_DECLARED.sub(lambda match: items.schema_uri(match["kind"], to), uri) for uri in _extensions(item)}
    )
    return migrated


def current(item: Item, knowledge: Knowledge) -> Item:
    """``item`` in the newest version, with all derived fields as they should be.

    Raises:
        RefusedError: as ``migrate``.
    """
    migrated = migrate(item, knowledge)
    # One that only declares the newest schema says so from now on.
    derived = {"fair:schema_version": items.SCHEMA_VERSION} | derived_properties(migrated, knowledge)
    return migrated | {"properties": migrated["properties"] | derived}


def declared_as(item: Item, kind: str, knowledge: Knowledge, version: str | None = None) -> Item:
    """A contributor's item with the derived properties, declaring the version of our schema that it follows.

    It is held against that version, so that a folder written for a former one goes on working; it is published in the
    newest. The version comes from what the item declares: ``fair:schema_version`` is not the contributor's to write.
    """
    plain = item | {"properties": {k: v for k, v in item["properties"].items() if k != "fair:schema_version"}}
    own = items.schema_uri(kind, version or schema_version(plain))
    others = {uri for uri in _extensions(item) if not _is_of(kind, uri)}
    properties = plain["properties"] | derived_properties(item, knowledge)
    return plain | {"stac_extensions": sorted({*others, own}), "properties": properties}


def _is_of(kind: str, uri: str) -> bool:
    match = _DECLARED.fullmatch(uri)
    return match is not None and match["kind"] == kind


def _chain(item: Item, start: str, to: str, migrations: Sequence[Migration]) -> list[Migration]:
    by_version = {migration.before: migration for migration in migrations}
    chain: list[Migration] = []
    while start != to:
        # A table that leads back to where it has been would never end.
        if start not in by_version or by_version[start] in chain:
            raise RefusedError(f"item {item['id']!r}", [_no_way(schema_version(item), to, by_version)])
        chain.append(by_version[start])
        start = chain[-1].after
    return chain


def _no_way(found: str, to: str, known: dict[str, Migration]) -> str:
    if _VERSION.fullmatch(found) and _ordered(found) > _ordered(to):
        return f"fair:schema_version {found!r} is newer than {to!r}, the newest that this release knows: update it"
    listed = ", ".join(sorted(known, key=_ordered))
    return f"fair:schema_version {found!r} cannot be migrated to {to!r}; this release migrates from {listed}"


def _ordered(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _extensions(item: Item) -> list[str]:
    found = item.get("stac_extensions")
    return [uri for uri in found if isinstance(uri, str)] if isinstance(found, list) else []

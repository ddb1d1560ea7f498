"""Base models and datasets as they were released: the source that their items are restored from.

Local models have ZenML behind them. For the others the item is kept beside the published artifacts, and what the
catalog should hold is recomputed from there.
"""

import copy
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import orjson

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items
from fair_dagster.domain.errors import StorageError
from fair_dagster.domain.items.coverage import Knowledge
from fair_dagster.domain.items.damage import DamagedItem
from fair_dagster.domain.items.links import MANAGED_RELS, key_of
from fair_dagster.domain.items.migrations import current
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.domain.publication.desired import Family, Release, published_releases
from fair_dagster.domain.publication.drift import overlay
from fair_dagster.domain.slugs import split_version_id
from fair_dagster.flows.publication.road import Plan
from fair_dagster.storage.store import ArtifactStore

RELEASE_FILE = ".release.json"


@dataclass(frozen=True)
class Released:
    """One release, as it was published."""

    uid: str
    number: int
    item: Item


@dataclass(frozen=True)
class Lost:
    """Ids of items that are gone, and why releases that are kept could not be read; both by slug."""

    ids: Mapping[str, Sequence[str]]
    unread: Mapping[str, str]


def remember(artifacts: ArtifactStore, prefix: str, item: Item, uid: str, *, anew: bool = False) -> None:
    """Keep ``item`` beside its artifacts under ``prefix``.

    Args:
        anew: replace what is kept; otherwise a release that is kept already stays as it is.

    Raises:
        StorageError: the disk refused.
    """
    if anew or artifacts.size(f"{prefix}/{RELEASE_FILE}") is None:
        relative = _with_hrefs(item, lambda href: _relative(artifacts, href, prefix))
        content = {"uid": uid, "number": items.number_of(item), "item": relative}
        artifacts.write(orjson.dumps(content, option=orjson.OPT_INDENT_2), f"{prefix}/{RELEASE_FILE}")


def releases_of(artifacts: ArtifactStore, collection: str, slug: str) -> list[Released]:
    """What is kept of all releases of ``slug``. One whose file is damaged is left out: nothing can be read from it.

    Raises:
        StorageError: a file cannot be read.
    """
    found = []
    for prefix in artifacts.prefixes(f"{collection}/{slug}"):
        kept = artifacts.read(f"{prefix}/{RELEASE_FILE}")
        # What is no JSON, or JSON of another form.
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            content = orjson.loads(kept or b"")
            item = _with_hrefs(content["item"], partial(_absolute, artifacts, prefix))
            found.append(Released(str(content["uid"]), int(content["number"]), item))
    return found


def lost_releases(
    catalog: CatalogStore, artifacts: ArtifactStore, collection: str, published: Sequence[Item], present: set[str]
) -> Lost:
    """Items that there were, and that are gone: something still names them, or their release is kept.

    Args:
        present: ids of all items that have a file.
    """
    ids: dict[str, list[str]] = defaultdict(list)
    named = {*catalog.listed(collection), *(one for item in published for one in _linked(item))}
    for item_id in sorted(named - present):
        ids[split_version_id(item_id)[0]].append(item_id)
    unread: dict[str, str] = {}
    families = {split_version_id(one)[0] for one in present}
    try:
        prefixes = artifacts.prefixes(collection)
    except StorageError as error:
        return Lost(dict(ids), {"": str(error)})
    for prefix in prefixes:
        slug = prefix.removeprefix(f"{collection}/")
        try:
            if slug not in ids and slug not in families and releases_of(artifacts, collection, slug):
                ids[slug].append(slug)
        except StorageError as error:
            unread[slug] = str(error)
    return Lost(dict(ids), unread)


def _linked(item: Item) -> list[str]:
    """Ids of the versions of its own family that an item links to."""
    links = (link for link in item.get("links", []) if link.get("rel") in MANAGED_RELS)
    targets = (target for link in links if (target := key_of(str(link.get("href", "")))))
    return [one.id for one in targets if one.collection == item["collection"]]


def _with_hrefs(item: Item, spelled: Callable[[str], str]) -> Item:
    moved = copy.deepcopy(item)
    for asset in moved.get("assets", {}).values():
        if "href" in asset:
            asset["href"] = spelled(str(asset["href"]))
    return moved


def _relative(artifacts: ArtifactStore, href: str, prefix: str) -> str:
    key = artifacts.key_of(href)
    return f"./{key.removeprefix(f'{prefix}/')}" if key is not None and key.startswith(f"{prefix}/") else href


def _absolute(artifacts: ArtifactStore, prefix: str, href: str) -> str:
    return artifacts.href(f"{prefix}/{href.removeprefix('./')}") if href.startswith("./") else href


def restored(
    artifacts: ArtifactStore,
    knowledge: Knowledge,
    collection: str,
    slug: str,
    published: Sequence[Item],
    *,
    damaged: Sequence[DamagedItem] = (),
    missing: Sequence[str] = (),
) -> ChangeSet:
    """What turns the family as it is into what was released, with the fields that users wrote.

    Args:
        damaged, missing: items of the family that are known to be there and cannot be read, or are gone.
    """
    kept = releases_of(artifacts, collection, slug)
    releases = [
        _corrected(release, kept, lambda item: current(item, knowledge)) for release in published_releases(published)
    ]
    # Where the collection document is gone as well, the versions that are left tell which ids there were.
    linked = (item_id for item in published for item_id in _linked(item))
    lost = {*(one.key.id for one in damaged), *missing, *linked} - {item["id"] for item in published}
    # Where nothing tells which release was active, it is the newest.
    for one in sorted(kept, key=lambda release: release.number, reverse=True):
        if one.uid in {release.uid for release in releases}:
            continue
        active = slug in lost and not any(release.active for release in releases)
        if (named := f"{slug}-v{one.number}") in lost:
            active = False
        elif not active:
            active = named not in lost and slug not in lost and not releases
        rank = max([one.number, *(release.rank + 1 for release in releases)]) if active else one.number
        releases.append(Release(one.number, one.uid, active, rank, current(one.item, knowledge)))
    # An item that cannot be read and was never kept stays as it is: the others are linked around it.
    return Plan(Family(collection, slug, tuple(releases)), published, damaged).changes()


def _corrected(release: Release, kept: Sequence[Released], renewed: Callable[[Item], Item]) -> Release:
    """A published release with what its kept one says of all managed fields."""
    item = release.content
    number = split_version_id(item["id"])[1]
    active = number is None
    by_uid = [one for one in kept if one.uid == release.uid]
    by_number = [one for one in kept if one.number == (number if number is not None else release.number)]
    found = by_uid or (by_number if len(by_number) == 1 else [])
    if not found:
        return replace(release, active=active, content=renewed(item))
    told = found[0]
    properties: dict[str, Any] = told.item["properties"] | {"version": item["properties"].get("version")}
    content = overlay(item, told.item | {"properties": properties})
    content["properties"]["version"] = str(told.number)
    return replace(release, number=told.number, uid=told.uid, active=active, content=renewed(content))

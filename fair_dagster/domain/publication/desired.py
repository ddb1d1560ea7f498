"""Desired state: the items that a family should have in the catalog, computed from its releases.

Promote, archive, roll back, delete, re-publish and repair have no code of their own: each changes the releases, and
``desired_items`` says what follows. Local models take their releases from ZenML (``local_family``), base models and
datasets from the catalog and what is being registered (``release_family``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from fair_dagster.domain import items
from fair_dagster.domain.items.copies import copy_item
from fair_dagster.domain.items.links import DERIVED_FROM, LATEST, MANAGED_RELS, PREDECESSOR, SUCCESSOR, Link, link_to
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.drift import is_of_another, overlay
from fair_dagster.domain.requests import PROMOTION_KEY
from fair_dagster.domain.slugs import split_version_id, version_id
from fair_dagster.domain.versions import VersionRecord

RANK = "fair:promotion"


@dataclass(frozen=True)
class Release:
    """One published version of a family.

    Args:
        number: the version number, as in ``<slug>-v<number>``.
        uid: what tells two releases with one number apart: ZenML's UUID, or a digest of the content.
        active: in production; at most one release of a family is.
        rank: position in the order of promotion; the highest was promoted last.
        content: the item without id, version, deprecation and version links.
    """

    number: int
    uid: str
    active: bool
    rank: int
    content: Item


@dataclass(frozen=True)
class Family:
    """All releases of one slug in one collection: the unit of publication."""

    collection: str
    slug: str
    releases: tuple[Release, ...]

    def item_id(self, release: Release) -> str:
        """Local models are always ``<slug>-v<n>``; of the others the active release bears the plain slug."""
        if release.active and self.collection != items.LOCAL_MODELS:
            return self.slug
        return version_id(self.slug, release.number)


def desired_items(family: Family) -> list[Item]:
    """The items that should exist, in order of promotion, linked to one chain."""
    ordered = sorted(family.releases, key=lambda release: (release.active, release.rank, release.number))
    keys = [ItemKey(family.collection, family.item_id(release)) for release in ordered]
    desired = []
    for position, release in enumerate(ordered):
        item = copy_item(release.content)
        item["id"] = keys[position].id
        item["collection"] = family.collection
        uid_field = items.ZENML_UID if family.collection == items.LOCAL_MODELS else items.UID
        item["properties"] |= {
            "version": str(release.number),
            "deprecated": not release.active,
            RANK: release.rank,
            uid_field: release.uid,
        }
        item["links"] = _without(item.get("links", []), MANAGED_RELS - {DERIVED_FROM})
        item["links"] += _version_links(keys, position)
        desired.append(item)
    return desired


def _version_links(keys: Sequence[ItemKey], position: int) -> list[Link]:
    links = []
    if position > 0:
        links.append(link_to(PREDECESSOR, keys[position - 1]))
    if position + 1 < len(keys):
        links.append(link_to(SUCCESSOR, keys[position + 1]))
        links.append(link_to(LATEST, keys[-1]))
    return links


def _without(links: Sequence[Link], rels: frozenset[str]) -> list[Link]:
    return [link for link in links if link.get("rel") not in rels]


def published_releases(published: Sequence[Item]) -> list[Release]:
    """The releases that the catalog holds, read back from its items."""
    return [
        Release(
            number=items.number_of(item),
            uid=str(item["properties"].get(items.ZENML_UID) or item["properties"].get(items.UID) or ""),
            active=items.is_active(item),
            rank=_rank(item),
            content=item,
        )
        for item in published
    ]


def _rank(item: Item) -> int:
    return int(item["properties"].get(RANK, items.number_of(item)))


def items_of(versions: Sequence[VersionRecord], published: Sequence[Item]) -> dict[str, Item]:
    """The published items of ``versions``, by UUID.

    A version's item has its id: another one with its UUID is a copy that somebody made. An item whose UUID is gone or
    no UUID, because somebody altered it, is that of the version all the same.
    """
    by_id = {str(item["id"]): item for item in published}
    return {
        version.uuid: item
        for version in versions
        if (item := by_id.get(version.id)) is not None and not is_of_another(item, version.uuid)
    }


def was_promoted(version: VersionRecord, published_uids: frozenset[str]) -> bool:
    """Whether a version belongs into STAC: it is in production, or it was before.

    ZenML keeps no history of stages. What was promoted is known from the catalog and from the mark that publication
    leaves on the version; an archived version with neither was never seen in production.
    """
    return version.stage == "production" or version.uuid in published_uids or PROMOTION_KEY in version.metadata


def local_family(
    slug: str,
    versions: Sequence[VersionRecord],
    published: Sequence[Item],
    content: Callable[[VersionRecord], Item],
    kept: Callable[[Item], Item] | None = None,
) -> Family:
    """The family of a finetuned model as ZenML has it now.

    Args:
        content: builds the item body of one promoted version.
        kept: what becomes of a published item whose ZenML version is gone. Left out, it is not in the result, so that
            the difference removes it; given, it stays, unless a version with its number has taken over its id.
    """
    known = {uid: _rank(item) for uid, item in items_of(versions, published).items()}
    promoted = [version for version in versions if was_promoted(version, frozenset(known))]
    ranks = {
        version.uuid: known.get(version.uuid, int(version.metadata.get(PROMOTION_KEY, version.number)))
        for version in promoted
    }
    releases = []
    for version in promoted:
        active = version.stage == "production"
        rank = ranks[version.uuid]
        others = [ranks[other.uuid] for other in promoted if other is not version]
        # In production now means promoted last, whatever was recorded: a rollback moves to the end of the order.
        if active and others and rank <= max(others):
            rank = max(others) + 1
        releases.append(Release(version.number, version.uuid, active, rank, content(version)))
    if kept is not None:
        releases += _left_behind(versions, releases, published, kept)
    return Family(items.LOCAL_MODELS, slug, tuple(releases))


def _left_behind(
    versions: Sequence[VersionRecord],
    releases: Sequence[Release],
    published: Sequence[Item],
    kept: Callable[[Item], Item],
) -> list[Release]:
    """Published releases that ZenML knows nothing of any more. The one in production, if there is one, stays active."""
    uids = {version.uuid for version in versions}
    numbers = {release.number for release in releases}
    produced = any(release.active for release in releases)
    return [
        replace(release, content=kept(release.content), active=release.active and not produced)
        for release in published_releases(published)
        if release.uid not in uids and release.number not in numbers
    ]


def release_family(
    collection: str, slug: str, published: Sequence[Item], incoming: Item | None = None, uid: str = ""
) -> Family:
    """The family of a base model or dataset after ``incoming`` has been registered.

    The same content again recomputes the active release; the content of an older release rolls back to it; other
    content becomes a new release with the next number, or the number the contributor declares when that is higher.
    """
    releases = published_releases(published)
    if incoming is None:
        return Family(collection, slug, tuple(releases))
    same = next((release for release in releases if release.uid == uid), None)
    highest_rank = max((release.rank for release in releases), default=0)
    if same is None:
        number = next_number(published, uid, items.number_of(incoming))
        new = Release(number, uid, True, highest_rank + 1, incoming)
    else:
        rank = same.rank if same.rank == highest_rank else highest_rank + 1
        # What users wrote on that release comes back with it, and so does its date.
        kept = {"version": str(same.number), "datetime": same.content["properties"].get("datetime")}
        numbered = incoming | {"properties": incoming["properties"] | kept}
        new = replace(same, active=True, rank=rank, content=overlay(same.content, numbered))
    others = (replace(release, active=False) for release in releases if release is not same)
    return Family(collection, slug, (*others, new))


def next_number(published: Sequence[Item], uid: str, declared: int) -> int:
    """The version number of content ``uid``: its own if it was released before, otherwise a new one.

    ``declared`` is the number its author gave it; it counts when it is higher than every number in use.
    """
    releases = published_releases(published)
    for release in releases:
        if release.uid == uid:
            return release.number
    return max(declared, max((release.number for release in releases), default=0) + 1) if releases else declared


def retired_family(collection: str, slug: str, published: Sequence[Item]) -> Family:
    """The family with no active release: what archiving a base model or a dataset means."""
    releases = (replace(release, active=False) for release in published_releases(published))
    return Family(collection, slug, tuple(releases))


def relink_parents(children: Sequence[Item], parents: Mapping[tuple[str, str], Sequence[Item]]) -> list[Item]:
    """``children`` with their ``derived_from`` links pointing at the exact parent versions they were made from.

    A parent's id changes when a newer version takes over its slug. ``parents`` maps (collection, slug) to the items of
    that family as they will be; links to families that are not in it stay.
    """
    relinked = []
    for child in children:
        item = copy_item(child)
        for link in item["links"]:
            if link.get("rel") == DERIVED_FROM:
                _repoint(link, item, parents)
        relinked.append(item)
    return relinked


def _repoint(link: Link, child: Item, parents: Mapping[tuple[str, str], Sequence[Item]]) -> None:
    for collection, field in items.PARENT_FIELDS.items():
        slug = str(child["properties"].get(field, ""))
        if not str(link["href"]).startswith(f"catalog://{collection}/") or (collection, slug) not in parents:
            continue
        wanted = str(child["properties"].get(f"{field}_version", ""))
        for parent in parents[collection, slug]:
            if str(parent["properties"].get("version")) == wanted:
                link["href"] = f"catalog://{collection}/{parent['id']}"


def slug_of(item: Item) -> str:
    """The slug of the family that an item belongs to."""
    return split_version_id(item["id"])[0]

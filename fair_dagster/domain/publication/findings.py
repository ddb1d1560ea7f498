"""Drift: in what the catalog differs from what it should be, as findings. Pure; what repairs them stands in ``flows``.

A finding names one thing that is wrong and what a repair would do about it. Nothing here reads or writes.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fair_dagster.domain import items
from fair_dagster.domain.items.links import key_of
from fair_dagster.domain.items.migrations import is_outdated, schema_version
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.domain.publication.desired import RANK, slug_of
from fair_dagster.domain.publication.drift import differences, is_of_another
from fair_dagster.domain.slugs import split_version_id

Kind = Literal[
    "missing",
    "orphaned",
    "outdated",
    "altered",
    "stage",
    "damaged",
    "broken link",
    "missing artifact",
    "changed artifact",
    "misplaced artifact",
    "unused artifact",
    "unfinished artifact",
    "unpushed artifact",
    "unchecked artifact",
    "unpinned image",
    "missing image",
    "unchecked image",
    "partition without item",
    "item without partition",
    "document",
    "unpublishable",
    "not checked",
]
WARNINGS: frozenset[Kind] = frozenset(
    {
        "outdated",
        "misplaced artifact",
        "unused artifact",
        "unfinished artifact",
        "unpushed artifact",
        "unchecked artifact",
        "unpinned image",
        "unchecked image",
    }
)
"""What consumers do not notice: everything else is an error."""

_STAGE_FIELDS = frozenset({"properties.deprecated", f"properties.{RANK}", "links"})
"""What a stage decides about an item."""

FEW = 3
"""So many models may all be deleted at once without anybody being asked."""

COLUMNS = ("collection", "item", "kind", "detail", "repair", "family")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        item: id of the item; empty where the finding is about a collection.
        detail: what is wrong, for people.
        repair: what a repair would do; empty where somebody has to look.
        family: the slug whose recompute repairs it; empty where none does.
        target: what a repair acts on: the href of an artifact, the key of a partition.
    """

    collection: str
    item: str
    kind: Kind
    detail: str
    repair: str = ""
    family: str = ""
    target: str = ""

    @property
    def is_error(self) -> bool:
        return self.kind not in WARNINGS

    def row(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in COLUMNS}


@dataclass(frozen=True)
class Done:
    """One thing that a repair did or could not do, with its reason."""

    collection: str
    item: str
    action: str
    reason: str
    failed: bool = False

    def __str__(self) -> str:
        return f"{self.action} {self.collection}/{self.item}: {self.reason}"


@dataclass(frozen=True)
class Partitions:
    """Dagster's partition keys, as data: slugs of datasets, and version ids by slug of their base model."""

    datasets: frozenset[str] = frozenset()
    finetunes: Mapping[str, frozenset[str]] | None = None

    def of_finetunes(self) -> Iterator[tuple[str, frozenset[str]]]:
        yield from (self.finetunes or {}).items()


def family_findings(actual: Sequence[Item], changes: ChangeSet, successors: Mapping[str, str]) -> list[Finding]:
    """What the difference between a family and what it should be means.

    Args:
        actual: the family as it is.
        changes: what would have to be written.
        successors: UUIDs of versions by their id, to tell a number that is used again.
    """
    before = {ItemKey(item["collection"], item["id"]): item for item in actual}
    staged = _staged(before, changes)
    return [
        staged.get(change.key) or _of_change(change, before.get(change.key), successors) for change in changes.changes
    ]


def _staged(before: Mapping[ItemKey, Item], changes: ChangeSet) -> dict[ItemKey, Finding]:
    """What a stage explains that was set in ZenML: which version is active, and how the family is linked since."""
    pairs = [
        (change.key, item, change.item)
        for change in changes.changes
        if change.key.collection == items.LOCAL_MODELS and change.item and (item := before.get(change.key))
    ]
    moved = {
        key: items.is_active(after) for key, item, after in pairs if items.is_active(item) != items.is_active(after)
    }
    told = {True: "in production in ZenML, and archived here", False: "archived in ZenML, and in production here"}
    return {
        key: Finding(
            key.collection,
            key.id,
            "stage",
            told[moved[key]] if key in moved else "its links follow a version whose stage was changed in ZenML",
            "follow ZenML",
            slug_of(item),
        )
        for key, item, after in pairs
        if moved and _STAGE_FIELDS.issuperset(differences(item, after))
    }


def _of_change(change: Change, item: Item | None, successors: Mapping[str, str]) -> Finding:
    key, family = change.key, slug_of({"id": change.key.id})
    if item is None:
        return Finding(key.collection, key.id, "missing", change.reason, "publish it", family)
    if change.item is None:
        return Finding(key.collection, key.id, "orphaned", "ZenML has no such version any more", "remove it", family)
    uid = str(item["properties"].get(items.ZENML_UID))
    now = str(change.item["properties"].get(items.ZENML_UID))
    if is_of_another(item, now) and key.id in successors:
        detail = f"its version was deleted in ZenML, and its number is used again (UUID {uid}, now {now})"
        return Finding(key.collection, key.id, "orphaned", detail, "publish the version that ZenML has now", family)
    if is_outdated(item):
        detail = f"schema version {schema_version(item)}; the newest is {items.SCHEMA_VERSION}"
        return Finding(key.collection, key.id, "outdated", detail, "migrate it", family)
    detail = f"differs from what it should be: {change.reason}"
    return Finding(key.collection, key.id, "altered", detail, "set these fields anew", family)


def broken_links(found: Sequence[Item], known: Mapping[str, Collection[str]]) -> list[Finding]:
    """Links between items that lead nowhere.

    Args:
        known: ids by collection, those of damaged items included.
    """
    findings = []
    for item in found:
        for link in item.get("links", []):
            target = key_of(str(link.get("href", "")))
            if target is not None and target.id not in known.get(target.collection, ()):
                detail = f"link {link.get('rel')!r} leads to {target}, which is not there"
                repair = "recompute its links, once what they name is there"
                findings.append(
                    Finding(item["collection"], item["id"], "broken link", detail, repair, slug_of(item), str(target))
                )
    return findings


def dataset_partition_findings(partitions: Collection[str], slugs: Collection[str]) -> list[Finding]:
    """Keys of the datasets' partition set against the datasets of the catalog, damaged and missing ones included."""
    return _partition_findings(items.DATASETS, "datasets", partitions, slugs, slugs)


def finetune_partition_findings(
    partitions: Partitions, published: Mapping[str, Collection[str]], in_zenml: Collection[str]
) -> list[Finding]:
    """Keys of the finetunes' partition sets against what there is.

    Args:
        published: ids of items by slug of their base model.
        in_zenml: ids of all versions that ZenML has; one that is being trained has no item yet.
    """
    everything = {*in_zenml, *(item_id for ids in published.values() for item_id in ids)}
    findings = []
    for slug, keys in partitions.of_finetunes():
        findings += _partition_findings(items.LOCAL_MODELS, slug, keys, everything, published.get(slug, ()))
    return findings


def _partition_findings(
    collection: str, subject: str, keys: Collection[str], alive: Collection[str], wanted: Collection[str]
) -> list[Finding]:
    surplus = [
        Finding(
            collection,
            key,
            "partition without item",
            f"a partition of {subject} that neither an item nor a version belongs to",
            "delete the partition",
            target=subject,
        )
        for key in sorted(set(keys) - set(alive))
    ]
    lacking = [
        Finding(
            collection,
            key,
            "item without partition",
            f"{subject} has no partition for it",
            "add the partition",
            target=subject,
        )
        for key in sorted(set(wanted) - set(keys))
    ]
    return [*surplus, *lacking]


def without_mass_deletion(findings: Sequence[Finding], published: Collection[str]) -> tuple[list[Finding], str]:
    """What a repair may do without being told so explicitly, and why it leaves local models alone; empty when not.

    A ZenML that has none of the versions of published items is likelier another one, or an empty one.

    Args:
        published: the ids of all local models.
    """
    local = [one for one in findings if one.collection == items.LOCAL_MODELS]
    orphaned = {one.item for one in local if one.kind == "orphaned"}
    hidden = {one.family for one in local if one.kind in {"damaged", "not checked", "unpublishable"}}
    judged = {one for one in published if split_version_id(one)[0] not in hidden}
    if len(orphaned) <= FEW or not judged <= orphaned:
        return list(findings), ""
    kept = [one for one in findings if one.collection != items.LOCAL_MODELS]
    return kept, (
        f"ZenML has none of the versions of {len(orphaned)} items: it is another ZenML or an empty one, and nothing is "
        "removed for that. Check ZENML_STORE_URL and the active project. If all were deleted on purpose: "
        "fair-dagster catalog reconcile --repair --all-deleted"
    )

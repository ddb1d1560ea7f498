"""Published artifacts against what items say of them, and whether a folder of artifacts is used by any item."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fair_dagster.domain import items
from fair_dagster.domain.artifacts import PublishedArtifact
from fair_dagster.domain.changes import Item, ItemKey
from fair_dagster.domain.errors import StorageError
from fair_dagster.domain.publication import published_releases, slug_of
from fair_dagster.domain.reconciliation import Finding, Kind
from fair_dagster.flows.releases import release_folder
from fair_dagster.flows.services import Services
from fair_dagster.storage.local import describe, size_of


@dataclass(frozen=True)
class Named:
    """An artifact as one item names it."""

    item: Item
    asset: str
    artifact: PublishedArtifact


def named_by(item: Item) -> list[Named]:
    """The artifacts on this machine that ``item`` says size and checksum of."""
    found = []
    for name, asset in item.get("assets", {}).items():
        href, size, checksum = asset.get("href"), asset.get("file:size"), asset.get("file:checksum")
        if isinstance(href, str) and href.startswith("/") and isinstance(size, int) and isinstance(checksum, str):
            found.append(Named(item, name, PublishedArtifact(href, size, checksum)))
    return found


def artifact_findings(
    services: Services,
    scanned: Sequence[Item],
    collections: Sequence[str],
    *,
    checksums: bool,
    progress: Callable[[int, int, str], None],
) -> list[Finding]:
    """Artifacts that are gone or differ from what their item says.

    What several items name, as the code of a base model, is a finding of the item that it was published with.
    """
    owners = {prefix_of_item(item): item for item in scanned}
    wanted: dict[str, Named] = {}
    for item in scanned:
        for named in named_by(item):
            owner = owners.get(_prefix(services, named.artifact.href))
            if owner is None or owner is item:
                wanted.setdefault(named.artifact.href, named)
    findings = []
    for done, named in enumerate(wanted.values()):
        progress(done, len(wanted), "artifacts")
        if named.item["collection"] in collections and (found := artifact_finding(named, checksums=checksums)):
            findings.append(found)
    return findings


def artifact_finding(named: Named, *, checksums: bool = True) -> Finding | None:
    """What is wrong with one artifact."""
    item, path = named.item, Path(named.artifact.href)
    collection, slug = str(item["collection"]), slug_of(item)
    try:
        found = _difference(named, path, checksums=checksums)
    except (OSError, StorageError) as error:
        detail = f"asset {named.asset!r}: {error}"
        return Finding(collection, str(item["id"]), "not checked", detail, "", slug, str(path))
    if found is None:
        return None
    kind, detail = found
    repairs = {
        items.LOCAL_MODELS: "copy it again from ZenML",
        items.BASE_MODELS: "copy it again from the model's folder, when that is the released one",
        items.DATASETS: "",
    }
    if collection == items.DATASETS:
        detail += ". Only a copy of your own restores it: put the file back"
    return Finding(collection, str(item["id"]), kind, detail, repairs[collection], slug, str(path))


def _difference(named: Named, path: Path, *, checksums: bool) -> tuple[Kind, str] | None:
    told = named.artifact
    if not path.exists():
        return "missing artifact", f"asset {named.asset!r}: {path} is gone"
    if (size := size_of(path)) != told.size:
        detail = f"asset {named.asset!r}: {path} has {size:,} bytes instead of {told.size:,}"
    elif checksums and (checksum := describe(path).checksum) != told.checksum:
        detail = f"asset {named.asset!r}: {path} has checksum {checksum} instead of {told.checksum}"
    else:
        return None
    return "changed artifact", detail


def used_prefixes(services: Services, scanned: Iterable[Item]) -> set[str]:
    """The folders of releases that items stand for, or point into."""
    used = set()
    for item in scanned:
        used.add(prefix_of_item(item))
        hrefs = [str(asset.get("href", "")) for asset in item.get("assets", {}).values()]
        hrefs += [str(link.get("href", "")) for link in item.get("links", [])]
        used |= {_prefix(services, href) for href in hrefs}
    return used


def prefix_of_item(item: Item) -> str:
    """Where the artifacts of an item's release stand."""
    (release,) = published_releases([item])
    return f"{item['collection']}/{slug_of(item)}/{release_folder(release.number, release.uid)}"


def _prefix(services: Services, href: str) -> str:
    """The folder of a release that ``href`` leads into; empty for any other href."""
    root = f"{services.artifacts.root}/"
    parts = href.removeprefix(root).split("/") if href.startswith(root) else []
    return "/".join(parts[:3]) if len(parts) >= 3 else ""


def remove_unused(services: Services, prefixes: Iterable[str]) -> list[str]:
    """Remove the folders of releases that no item of any collection uses; returns those that are gone.

    Raises:
        CatalogError: an item cannot be read. It might use one of them.
        StorageError: a folder cannot be removed.
    """
    wanted = set(prefixes)
    unused = sorted(wanted - _in_use(services)) if wanted else []
    for prefix in unused:
        services.artifacts.remove(prefix)
    return unused


def _in_use(services: Services) -> set[str]:
    """As ``used_prefixes`` of all items, from the catalog's index: what has not changed is not read again."""
    used = set()
    for collection in items.COLLECTIONS:
        lacking = set(services.catalog.ids(collection))
        for entry in services.catalog.entries(collection):
            lacking.discard(entry.id)
            used.add(f"{collection}/{slug_of({'id': entry.id})}/{release_folder(entry.number, entry.uid)}")
            used |= {_prefix(services, folder) for folder in entry.folders}
        # The index leaves out what is damaged; reading it raises.
        found = (services.catalog.get(ItemKey(collection, item_id)) for item_id in sorted(lacking))
        used |= used_prefixes(services, (item for item in found if item is not None))
    return used

"""Published artifacts against what items say of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fair_dagster.domain import items
from fair_dagster.domain.errors import AwayError, StorageError, StoreRefusesError
from fair_dagster.domain.items.artifacts import PublishedArtifact
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.desired import slug_of
from fair_dagster.domain.publication.findings import Finding, Kind
from fair_dagster.flows.publication.folders import find_folder, folder_of_item
from fair_dagster.flows.publication.places import can_look, is_left_behind, is_renamed, look
from fair_dagster.flows.services import Services
from fair_dagster.settings import Settings
from fair_dagster.storage.store import ArtifactStore


@dataclass(frozen=True)
class Named:
    """An artifact as one item names it."""

    item: Item
    asset: str
    artifact: PublishedArtifact


def named_by(artifacts: ArtifactStore, item: Item) -> list[Named]:
    """The artifacts of ours that ``item`` says size and checksum of.

    Raises:
        StorageError: of an address of former times it cannot be told whether it is ours.
    """
    found = []
    for name, asset in item.get("assets", {}).items():
        href, size, checksum = asset.get("href"), asset.get("file:size"), asset.get("file:checksum")
        is_told = isinstance(size, int) and isinstance(checksum, str)
        if not is_told or not isinstance(href, str):
            continue
        artifact = PublishedArtifact(href, size, checksum)
        if can_look(artifacts, href) or is_renamed(artifacts, artifact):
            found.append(Named(item, name, artifact))
    return found


def artifact_findings(
    artifacts: ArtifactStore,
    settings: Settings,
    scanned: Sequence[Item],
    collections: Sequence[str],
    *,
    checksums: bool,
    progress: Callable[[int, int, str], None],
) -> list[Finding]:
    """Artifacts that are gone or differ from what their item says.

    What several items name, as the code of a base model, is a finding of the item that it was published with.
    """
    findings: list[Finding] = []
    try:
        wanted = _by_owner(artifacts, scanned)
    except StorageError as error:
        return [Finding(collection, "", "not checked", str(error)) for collection in collections]
    own = [named for named in wanted if named.item["collection"] in collections]
    for done, named in enumerate(own):
        progress(done, len(own), "artifacts")
        try:
            found = artifact_finding(artifacts, named, checksums=checksums) or _misplaced(artifacts, settings, named)
        except (AwayError, StoreRefusesError) as error:
            left = {str(one.item["collection"]) for one in own[done:]}
            return findings + [Finding(collection, "", "not checked", str(error)) for collection in sorted(left)]
        findings += [found] if found else []
    return findings


def _by_owner(artifacts: ArtifactStore, scanned: Sequence[Item]) -> list[Named]:
    """Each artifact once, as the item names it that it was published with."""
    owners = {folder_of_item(item): item for item in scanned}
    wanted: dict[str, Named] = {}
    for item in scanned:
        for named in named_by(artifacts, item):
            owner = owners.get(find_folder(artifacts, named.artifact.href))
            if owner is None or owner is item:
                wanted.setdefault(named.artifact.href, named)
    return list(wanted.values())


def store_problem(services: Services) -> str:
    """Why nothing can be said of artifacts and releases now; empty when the store answers."""
    try:
        services.artifacts.prefixes(items.DATASETS)
    except StorageError as error:
        return str(error)
    return ""


def artifact_finding(artifacts: ArtifactStore, named: Named, *, checksums: bool = True) -> Finding | None:
    """What is wrong with one artifact.

    Raises:
        AwayError, StoreRefusesError: the next artifact would fare no better. Any other failure to read is a finding.
    """
    item, href = named.item, named.artifact.href
    collection, slug = str(item["collection"]), slug_of(item)
    try:
        found = _difference(artifacts, named, checksums=checksums)
    except (AwayError, StoreRefusesError):
        raise
    except StorageError as error:
        detail = f"asset {named.asset!r}: {error}"
        return Finding(collection, str(item["id"]), "not checked", detail, "", slug, href)
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
    return Finding(collection, str(item["id"]), kind, detail, repairs[collection], slug, href)


def _difference(artifacts: ArtifactStore, named: Named, *, checksums: bool) -> tuple[Kind, str] | None:
    told = named.artifact
    seen = look(artifacts, told.href, read=checksums)
    if seen is None:
        return "missing artifact", f"asset {named.asset!r}: {told.href} is gone"
    if seen.size != told.size:
        detail = f"asset {named.asset!r}: {told.href} has {seen.size:,} bytes instead of {told.size:,}"
    elif seen.checksum not in {None, told.checksum}:
        detail = f"asset {named.asset!r}: {told.href} has checksum {seen.checksum} instead of {told.checksum}"
    else:
        return None
    return "changed artifact", detail


def _misplaced(artifacts: ArtifactStore, settings: Settings, named: Named) -> Finding | None:
    """An artifact that only this machine can read though artifacts are in a bucket now, or under a former address."""
    item, href = named.item, named.artifact.href
    place = artifacts.place(folder_of_item(item))
    if is_left_behind(artifacts, settings.artifacts_path, href):
        detail, repair = f"asset {named.asset!r}: {href} can be read on this machine only", f"copy it to {place}"
    elif not can_look(artifacts, href):
        detail, repair = f"asset {named.asset!r}: {href} is under a former base URL", f"name it as it is in {place}"
    else:
        return None
    collection, slug = str(item["collection"]), slug_of(item)
    return Finding(collection, str(item["id"]), "misplaced artifact", detail, repair, slug, named.artifact.href)

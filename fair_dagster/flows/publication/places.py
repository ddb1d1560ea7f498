"""Where the artifacts that items name are: in the artifact store, or in the folder that was the store before.

An installation whose ``FAIR_ARTIFACTS`` became a bucket has items that name files of the machine it was on. They stay
valid there, and move to the store when their item is recomputed.

See docs/decisions/0024.
"""

from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from fair_dagster.domain.items.artifacts import PublishedArtifact
from fair_dagster.domain.items.stac import Item
from fair_dagster.flows.publication.folders import RELEASE
from fair_dagster.storage.local import LocalArtifacts, look_at
from fair_dagster.storage.store import ArtifactStore, Seen


def can_look(artifacts: ArtifactStore, href: str) -> bool:
    """Whether an href names something of ours: in the store, or on this machine."""
    return artifacts.key_of(href) is not None or href.startswith("/")


def look(artifacts: ArtifactStore, href: str, *, read: bool = True) -> Seen | None:
    """What is behind an href that ``can_look`` allows; None when it is gone.

    Args:
        read: read all of it; without, the checksum may not be told.

    Raises:
        StorageError: it cannot be read.
    """
    key = artifacts.key_of(href) or _key_in(href)
    return artifacts.look(key, read=read) if key else look_at(Path(href), read=read)


def is_there(artifacts: ArtifactStore, artifact: PublishedArtifact) -> bool:
    """Whether as many bytes as there should be stand where ``artifact`` says. Their content is for reconciliation.

    Raises:
        StorageError: it cannot be told.
    """
    key = artifacts.key_of(artifact.href)
    if key is not None:
        return artifacts.size(key) == artifact.size
    if is_renamed(artifacts, artifact):
        return True
    seen = look_at(Path(artifact.href), read=False)
    return seen is not None and seen.size == artifact.size


def is_left_behind(artifacts: ArtifactStore, former: Path, href: str) -> bool:
    """Whether an artifact lies in ``former``, the folder that was the store before it became a bucket."""
    return artifacts.key_of(href) is None and Path(href).is_absolute() and Path(href).is_relative_to(former)


def is_renamed(artifacts: ArtifactStore, artifact: PublishedArtifact) -> bool:
    """Whether an artifact of the store is named under a base URL that is not the store's any more.

    Raises:
        StorageError: it cannot be told.
    """
    key = _key_in(artifact.href) if artifacts.key_of(artifact.href) is None else ""
    seen = artifacts.look(key, read=False) if key else None
    return seen is not None and seen.size == artifact.size and seen.checksum in {None, artifact.checksum}


def _key_in(href: str) -> str:
    """The key that a web address ends with, when it leads into a release; whose base URL it is, is not asked."""
    path = unquote(urlsplit(href).path) if href.startswith(("https://", "http://")) else ""
    found = RELEASE.search(path)
    key = path[found.start(1) :] if found else ""
    return "" if ".." in PurePosixPath(key).parts else key


def settle(artifacts: ArtifactStore, former: Path, artifact: PublishedArtifact, folder: str) -> PublishedArtifact:
    """An artifact as it is to be named now. One that was left behind is copied to the store first, below ``folder``.

    One that is not what its item says stays where it is: reconciliation reports it.

    Args:
        former: as in ``is_left_behind``.

    Raises:
        StorageError: it cannot be read or copied.
    """
    key = artifacts.key_of(artifact.href)
    if key is None and is_renamed(artifacts, artifact):
        key = _key_in(artifact.href)
    if key is not None:
        return replace(artifact, href=artifacts.href(key))
    if not is_left_behind(artifacts, former, artifact.href):
        return artifact
    source = Path(artifact.href)
    seen = look_at(source)
    if seen is None or not seen.is_as(artifact):
        return artifact
    below = PurePosixPath(source.relative_to(former).as_posix())
    target = str(below) if below.is_relative_to(folder) else f"{folder}/{source.name}"
    return artifacts.publish(source, target)


def settle_document(artifacts: ArtifactStore, former: Path, key: str) -> None:
    """Copy a small document of a release to the store, when it was left behind and is not there yet.

    Raises:
        StorageError: it cannot be read or written.
    """
    left = LocalArtifacts(former)
    if artifacts.key_of(left.href(key)) is None and artifacts.size(key) is None:
        content = left.read(key)
        if content is not None:
            artifacts.write(content, key)


def settle_assets(artifacts: ArtifactStore, former: Path, item: Item, folder: str) -> Item:
    """``item`` with each of its artifacts as ``settle`` names it."""
    assets = {}
    for name, asset in item.get("assets", {}).items():
        href, size, checksum = (asset.get(field) for field in ("href", "file:size", "file:checksum"))
        assets[name] = asset
        if isinstance(href, str) and isinstance(size, int) and isinstance(checksum, str):
            assets[name] = asset | settle(artifacts, former, PublishedArtifact(href, size, checksum), folder).fields()
    return item | {"assets": assets}

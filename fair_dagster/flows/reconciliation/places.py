"""Where the artifacts that items name are: in the artifact store, or in the folder that was the store before.

An installation whose ``FAIR_ARTIFACTS`` became a bucket has items that name files of the machine it was on. They stay
valid there, and move to the store when their item is recomputed.

See docs/decisions/0024.
"""

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from fair_dagster.domain import items
from fair_dagster.domain.items.artifacts import PublishedArtifact
from fair_dagster.domain.publication.changes import Item
from fair_dagster.flows.services import Services
from fair_dagster.storage.local import LocalArtifacts, look_at
from fair_dagster.storage.store import Seen

_RELEASE = re.compile(rf"(?:^|/)((?:{'|'.join(items.COLLECTIONS)})/[a-z0-9-]+/v[0-9]+-[0-9a-f]{{8}})(?=/|$)")


def can_look(services: Services, href: str) -> bool:
    """Whether an href names something of ours: in the store, or on this machine."""
    return services.artifacts.key_of(href) is not None or href.startswith("/")


def look(services: Services, href: str, *, read: bool = True) -> Seen | None:
    """What is behind an href that ``can_look`` allows; None when it is gone.

    Args:
        read: read all of it; without, the checksum may not be told.

    Raises:
        StorageError: it cannot be read.
    """
    key = services.artifacts.key_of(href) or _key_in(href)
    return services.artifacts.look(key, read=read) if key else look_at(Path(href), read=read)


def is_there(services: Services, artifact: PublishedArtifact) -> bool:
    """Whether as many bytes as there should be stand where ``artifact`` says. Their content is for reconciliation.

    Raises:
        StorageError: it cannot be told.
    """
    key = services.artifacts.key_of(artifact.href)
    if key is not None:
        return services.artifacts.size(key) == artifact.size
    if is_renamed(services, artifact):
        return True
    seen = look_at(Path(artifact.href), read=False)
    return seen is not None and seen.size == artifact.size


def release_prefix(services: Services, href: str) -> str:
    """The key of the release that ``href`` leads into; empty for any other.

    An href that names a release is taken at its word wherever it leads: base URLs and buckets change, and what an item
    may still mean is not removed.
    """
    key = services.artifacts.key_of(href)
    if key is not None and len(parts := key.split("/")) >= 3:
        return "/".join(parts[:3])
    found = _RELEASE.search(unquote(urlsplit(href).path))
    return found[1] if found else ""


def is_left_behind(services: Services, href: str) -> bool:
    """Whether an artifact lies in the folder that was the store before it became a bucket."""
    root = services.settings.artifacts_path
    return services.artifacts.key_of(href) is None and Path(href).is_absolute() and Path(href).is_relative_to(root)


def is_renamed(services: Services, artifact: PublishedArtifact) -> bool:
    """Whether an artifact of the store is named under a base URL that is not the store's any more.

    Raises:
        StorageError: it cannot be told.
    """
    key = _key_in(artifact.href) if services.artifacts.key_of(artifact.href) is None else ""
    seen = services.artifacts.look(key, read=False) if key else None
    return seen is not None and seen.size == artifact.size and seen.checksum in {None, artifact.checksum}


def _key_in(href: str) -> str:
    """The key that a web address ends with, when it leads into a release; whose base URL it is, is not asked."""
    path = unquote(urlsplit(href).path) if href.startswith(("https://", "http://")) else ""
    found = _RELEASE.search(path)
    key = path[found.start(1) :] if found else ""
    return "" if ".." in PurePosixPath(key).parts else key


def settled(services: Services, artifact: PublishedArtifact, prefix: str) -> PublishedArtifact:
    """An artifact as it is to be named now. One that was left behind is copied to the store first, below ``prefix``.

    One that is not what its item says stays where it is: reconciliation tells.

    Raises:
        StorageError: it cannot be read or copied.
    """
    key = services.artifacts.key_of(artifact.href)
    if key is None and is_renamed(services, artifact):
        key = _key_in(artifact.href)
    if key is not None:
        return replace(artifact, href=services.artifacts.href(key))
    if not is_left_behind(services, artifact.href):
        return artifact
    source = Path(artifact.href)
    seen = look_at(source)
    if seen is None or not seen.is_as(artifact):
        return artifact
    below = PurePosixPath(source.relative_to(services.settings.artifacts_path).as_posix())
    target = str(below) if below.is_relative_to(prefix) else f"{prefix}/{source.name}"
    return services.artifacts.publish(source, target)


def settle_document(services: Services, key: str) -> None:
    """Copy a small document of a release to the store, when it was left behind and is not there yet.

    Raises:
        StorageError: it cannot be read or written.
    """
    former = LocalArtifacts(services.settings.artifacts_path)
    if services.artifacts.key_of(former.href(key)) is None and services.artifacts.size(key) is None:
        content = former.read(key)
        if content is not None:
            services.artifacts.write(content, key)


def with_settled_assets(services: Services, item: Item, prefix: str) -> Item:
    """``item`` with each of its artifacts ``settled``."""
    assets = {}
    for name, asset in item.get("assets", {}).items():
        href, size, checksum = (asset.get(field) for field in ("href", "file:size", "file:checksum"))
        assets[name] = asset
        if isinstance(href, str) and isinstance(size, int) and isinstance(checksum, str):
            assets[name] = asset | settled(services, PublishedArtifact(href, size, checksum), prefix).fields()
    return item | {"assets": assets}

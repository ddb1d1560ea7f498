"""Weights, models, chips and labels where a process of this machine can read them, wherever their items say they are.

Configurations name addresses, which mean the same everywhere and tomorrow. What a process is given names local copies.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from fair_dagster.domain.items.artifacts import Told, told_by_href
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.registries.assets import SCHEME
from fair_dagster.domain.urls import has_credentials, redact
from fair_dagster.flows import artifact_files as files
from fair_dagster.flows.services import Services
from fair_dagster.net.files import write_bytes
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from fair_dagster.storage.store import ArtifactStore

_SCHEMES = frozenset({"s3", "https", "file"})


def href_problems(services: Services, href: str, what: str, *, folder: bool = False) -> list[str]:
    """Why ``what`` behind ``href`` cannot be had, as far as that can be told without fetching it.

    Args:
        folder: it is a folder, which a web server does not list.

    Raises:
        StorageError: the artifact store, or the bucket that is named, cannot be asked.
    """
    key = services.artifacts.key_of(href)
    if key is not None:
        return _absence(services.artifacts, key, href, what)
    scheme = urlsplit(href).scheme if "://" in href else "file"
    if scheme == "oci" and not folder:
        return files.href_problems(href, what)
    allowed = _SCHEMES | ({"http"} if services.settings.fetch_private else frozenset())
    if has_credentials(href):
        return [f"{what} is behind a URL with a user name or password ({redact(href)}); take them out"]
    if scheme not in allowed:
        return [f"{what} is behind {scheme}:// ({href}), and only {', '.join(sorted(allowed))} can be fetched"]
    if folder and scheme in {"http", "https"}:
        return [
            f"{what} is a folder behind {scheme}:// ({href}), which cannot be listed: register a copy of the files, or "
            "name them by s3://"
        ]
    return _foreign_absence(services.settings, href, what) if scheme == "s3" else []


def _foreign_absence(settings: Settings, href: str, what: str) -> list[str]:
    from fair_dagster.storage.opening import open_foreign_bucket
    from fair_dagster.storage.store import split_s3

    bucket, key = split_s3(href)
    return _absence(open_foreign_bucket(settings, bucket), key, href, what)


def _absence(store: "ArtifactStore", key: str, href: str, what: str) -> list[str]:
    return [] if store.size(key) is not None else [f"{what} is gone: {href} is not there"]


def told_by(items: Iterable[Item]) -> dict[str, Told]:
    """What ``items`` say of size and checksum of their assets, by href."""
    return told_by_href(asset for item in items for asset in item.get("assets", {}).values())


def local_path(services: Services, href: str, told: Mapping[str, Told]) -> str:
    """The path of a copy of ``href`` on this machine; as it is where it lies here already.

    Raises:
        StorageError: it cannot be fetched, or is not what its item says.
    """
    if "://" not in href:
        return href
    if href.startswith(SCHEME):
        return str(files.local_file(services, href, told.get(href, Told()).checksum))
    from fair_dagster.storage.cache import local_copy

    return str(local_copy(services.settings, services.artifacts, href, told.get(href, Told())))


def local_config(
    services: Services, config_path: Path, place: Sequence[str], names: Iterable[str], told: Mapping[str, Told]
) -> Path:
    """A copy of a configuration whose addresses are local paths, beside it; itself where they are already.

    Args:
        place: the keys that lead to the mapping with the addresses.
        names: the keys of the addresses in it.
        told: what the items say of what is fetched, by address.

    Raises:
        StorageError: something cannot be fetched or is not what its item says, or the copy cannot be written.
    """
    config = yaml.safe_load(config_path.read_text())
    holder: dict[str, Any] = config
    for key in place:
        holder = holder[key]
    found = {name: local_path(services, str(holder[name]), told) for name in names if holder.get(name)}
    if all(holder[name] == path for name, path in found.items()):
        return config_path
    holder.update(found)
    local = config_path.with_name(f"{config_path.stem}.local{config_path.suffix}")
    write_bytes(local, yaml.safe_dump(config, sort_keys=False).encode())
    return local

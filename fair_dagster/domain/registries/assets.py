"""The asset of an item that names its artifact in a registry: ``oci://registry/repository@sha256:…``. Pure.

Which repository a model belongs to is decided here as well. What artifacts hold stands in ``model_artifacts``; how they
travel, in ``oci``.
"""

import re
from collections.abc import Iterable
from typing import Any

from fair_dagster.domain.items.stac import Item

OCI_ASSET = "oci"
SCHEME = "oci://"
_HREF = re.compile(r"oci://[^@\s#]+@sha256:[0-9a-f]{64}")
_TYPE = "application/vnd.oci.image.manifest.v1+json"
_ROLE = "oci-artifact"


def oci_asset(href: object) -> dict[str, Any] | None:
    """The asset for an artifact; None for what is no ``oci://…@sha256:…``: a tag may mean another model tomorrow."""
    if not isinstance(href, str) or not _HREF.fullmatch(href):
        return None
    return {"href": href, "title": "The model as an artifact of a registry", "type": _TYPE, "roles": [_ROLE]}


def oci_href(item: Item) -> str | None:
    """The artifact that an item names; None where it names none."""
    href = item.get("assets", {}).get(OCI_ASSET, {}).get("href")
    return href if isinstance(href, str) and _HREF.fullmatch(href) else None


def repository_of(root: str, family: str) -> str:
    """Where the versions of a model go: a repository of its own below ``FAIR_OCI_REPOSITORY``."""
    return f"{root.removeprefix(SCHEME).rstrip('/')}/{family}"


def is_in(hrefs: Iterable[str], place: str) -> bool:
    """Whether one of ``hrefs`` is an artifact in ``place``, a ``registry/repository``."""
    return any(href.startswith(f"{SCHEME}{place}@") for href in hrefs)


def version_tag(number: int) -> str:
    """The tag of a version. A number that ZenML gives again takes its tag along; digests stay what they are."""
    return f"v{number}"

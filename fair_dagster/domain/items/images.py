"""The images that a model runs in: what its author asked for, and the digest that was found for it. Pure.

``href`` keeps the reference as it was contributed, with its tag. ``fair:image`` beside it is the same repository at the
digest that the tag had when the version was released: what runs. Asking a registry is others' work.

See docs/decisions/0026.
"""

from collections.abc import Mapping

from fair_dagster.domain import items
from fair_dagster.domain.items.copies import copy_item
from fair_dagster.domain.items.fields import Asset
from fair_dagster.domain.items.stac import Item

IMAGE = "fair:image"
_SCHEMES = ("docker://", "oci://")
_IMAGE_TYPES = ("oci.image", "docker")


def runtime_images(item: Item) -> dict[str, str]:
    """Asset keys and image references, as contributed, of the runtimes of ``item`` that are images."""
    found = (items.runtime_asset(item, phase) for phase in (items.TRAINING, items.INFERENCE))
    return {key: str(asset["href"]) for key, asset in filter(None, found) if is_image(asset)}


def is_image(asset: Asset) -> bool:
    """Whether a runtime is an image; the others are this environment, and workflows or pages behind a URL."""
    href, media = str(asset.get("href", "")), str(asset.get("type", ""))
    if not href or href == items.LOCAL_RUNTIME:
        return False
    if href.startswith(_SCHEMES) or any(kind in media for kind in _IMAGE_TYPES):
        return True
    return not media and "://" not in href


def image_of(asset: Asset) -> str:
    """What a container runtime is told: the pinned image, otherwise the one that was asked for."""
    href = str(asset["href"])
    for scheme in (*_SCHEMES, "https://"):
        href = href.removeprefix(scheme)
    return str(asset.get(IMAGE) or href)


def pinned_images(item: Item) -> dict[str, str]:
    """Pinned images by the reference that was asked for."""
    assets = item["assets"]
    return {href: str(assets[key][IMAGE]) for key, href in runtime_images(item).items() if assets[key].get(IMAGE)}


def unpinned_images(item: Item) -> dict[str, str]:
    """Asset keys and references of the images of ``item`` that are not pinned."""
    return {key: href for key, href in runtime_images(item).items() if not item["assets"][key].get(IMAGE)}


def with_pins(item: Item, pins: Mapping[str, str]) -> Item:
    """``item`` with the images of ``pins``, by the reference asked for, and with no others."""
    result = copy_item(item)
    for asset in result["assets"].values():
        asset.pop(IMAGE, None)
    for key, href in runtime_images(result).items():
        if href in pins:
            result["assets"][key][IMAGE] = pins[href]
    return result

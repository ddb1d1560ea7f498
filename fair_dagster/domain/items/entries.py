"""What a catalog's index says of an item: the few fields by which sensors and reports find their way.

Whoever needs more reads the item. Keeping entries up to date is the business of the store.
"""

import posixpath
from dataclasses import dataclass

from fair_dagster.domain import items
from fair_dagster.domain.items.links import MANAGED_RELS, STRUCTURAL
from fair_dagster.domain.items.stac import Item

_OF_THE_CATALOG = STRUCTURAL | MANAGED_RELS


@dataclass(frozen=True)
class Entry:
    """One item.

    Attributes:
        uid: ZenML's UUID of a local model, the digest of a base model or dataset; empty where the item has none.
        family: ``mlm:name`` of a model, the slug of a dataset.
        schema_version: of our schema; empty where the item names none.
        base_model, dataset: slugs of the parents of a local model, else empty.
        base_model_version, dataset_version: their numbers as the item spells them.
        folders: that its assets and links lead into, as absolute paths or URLs.
    """

    id: str
    uid: str
    number: int
    deprecated: bool
    family: str
    schema_version: str = ""
    base_model: str = ""
    base_model_version: str = ""
    dataset: str = ""
    dataset_version: str = ""
    folders: tuple[str, ...] = ()

    @property
    def parents(self) -> dict[str, str]:
        """Slugs of the parents of a local model, by collection."""
        return {items.BASE_MODELS: self.base_model, items.DATASETS: self.dataset}


def entry_of(item: Item, place: str = "") -> Entry:
    """What ``item`` says of itself in short.

    Args:
        place: the folder that relative hrefs start from; without it they are left out.
    """
    properties = item["properties"]

    def text(key: str) -> str:
        value = properties.get(key)
        return "" if value is None else str(value)

    return Entry(
        id=str(item["id"]),
        uid=text(items.ZENML_UID) or text(items.UID),
        number=items.number_of(item),
        deprecated=not items.is_active(item),
        family=items.name_of(item),
        schema_version=text("fair:schema_version"),
        base_model=text(items.PARENT_FIELDS[items.BASE_MODELS]),
        base_model_version=text("fair:base_model_version"),
        dataset=text(items.PARENT_FIELDS[items.DATASETS]),
        dataset_version=text("fair:dataset_version"),
        folders=_folders(item, place),
    )


def _folders(item: Item, place: str) -> tuple[str, ...]:
    links = (link for link in item.get("links", ()) if link.get("rel") not in _OF_THE_CATALOG)
    hrefs = (str(one.get("href", "")) for one in (*item.get("assets", {}).values(), *links))
    return tuple(sorted({folder for href in hrefs for folder in _led_into(href, place)}))


def _led_into(href: str, place: str) -> tuple[str, ...]:
    if place and href.startswith(("./", "../")):
        href = posixpath.normpath(f"{place}/{href}")
    if not href.startswith(("/", "s3://", "https://", "http://", "oci://")):
        return ()
    folder, _, name = href.rpartition("/")
    # A name without a suffix may be that of a folder.
    return (folder,) if "." in name else (folder, href)

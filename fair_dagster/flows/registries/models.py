"""Models that others have pushed: the item inside, and a base model of this catalog made from it.

What an artifact says is a stranger's word: ``domain.oci_models`` decides what of it is believed. Who signed it is the
business of ``trust``; which pushes are news, of ``oci_pushes``.

See docs/decisions/0045.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items
from fair_dagster.domain.errors import NotFoundError, RefusedError
from fair_dagster.domain.items.artifacts import PublishedArtifact, multihash
from fair_dagster.domain.items.migrations import current, declared_as
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.domain.registries.assets import SCHEME, oci_href
from fair_dagster.domain.registries.models import arrived_item, as_base_model, came_as_artifact
from fair_dagster.flows.artifact_files import file_href, local_file
from fair_dagster.flows.base_models.registration import parse_item
from fair_dagster.flows.publication.releases import Incoming, publish
from fair_dagster.flows.registries.artifacts import ITEM_TITLE
from fair_dagster.flows.services import Services
from fair_dagster.flows.trust.acceptance import require_trusted
from fair_dagster.flows.trust.policy import require_allowed
from fair_dagster.oci.references import Reference

if TYPE_CHECKING:
    from fair_dagster.oci.descriptors import Manifest
    from fair_dagster.oci.registry.registries import Registries


@dataclass(frozen=True)
class OpenedModel:
    """A model inside an artifact. The files of ``item`` have addresses inside of the artifact."""

    reference: Reference
    item: Item


def is_artifact(name: str) -> bool:
    """Whether a model is named by a reference, and not by an id of the catalog."""
    return name.startswith(SCHEME)


def open_model(services: Services, reference: Reference, registries: "Registries | None" = None) -> OpenedModel:
    """The model at ``reference``. A tag is looked up once: what follows is about the digest that it had then.

    Args:
        registries: the client for a registry that a person has typed; that of the settings without.

    Raises:
        NotFoundError: there is no such artifact, or it holds no item, so that nothing tells what the model expects.
        RefusedError: it is not signed as it has to be, policy denies it, or its item is malformed; every problem is
            named.
        As ``Registries``.
    """
    asked = registries or services.registries
    allowed = require_allowed(services, reference, registries=asked)
    # Of the digest that policy has allowed: a tag may have moved meanwhile.
    verified = require_trusted(services, allowed.pinned if allowed else reference, registries=asked) or allowed
    pinned = verified.pinned if verified else reference.at(reference.digest or asked.digest_of(reference))
    manifest = asked.image_manifest(pinned)
    item = _item_in(asked, pinned, manifest)
    return OpenedModel(pinned, arrived_item(item, f"{SCHEME}{pinned}", _addresses(pinned, manifest)))


def _item_in(registries: "Registries", pinned: Reference, manifest: "Manifest") -> Item:
    for layer in manifest.layers:
        if layer.title == ITEM_TITLE:
            return parse_item(registries.read_blob(pinned, layer), f"{ITEM_TITLE} of {pinned}")
    advice = "what it expects and gives is not known; `fair-dagster oci pull` fetches its files"
    raise NotFoundError(f"a STAC item in {pinned}", [f"it holds no {ITEM_TITLE}: {advice}"])


def _addresses(pinned: Reference, manifest: "Manifest") -> dict[str, PublishedArtifact]:
    from fair_dagster.oci.artifacts.listing import file_title

    return {
        file_title(layer): PublishedArtifact(file_href(pinned, file_title(layer)), layer.size, multihash(layer.hex))
        for layer in manifest.layers
        if layer.digest.startswith("sha256:")
    }


def is_known(catalog: CatalogStore, reference: Reference) -> str | None:
    """The id of the item that names the artifact already: what we pushed ourselves, or what was registered before."""
    href = f"{SCHEME}{reference}"
    for collection in (items.LOCAL_MODELS, items.BASE_MODELS):
        for entry in catalog.entries(collection):
            if href in entry.folders:
                return entry.id
    return None


def stands_here(catalog: CatalogStore, opened: OpenedModel) -> str | None:
    """The id of the base model with a folder here whose model files these are: we push it beside what is made of it."""
    brought = _model_checksums(opened.item)
    for item in catalog.family(items.BASE_MODELS, slug_of(opened)):
        if not came_as_artifact(item) and brought and brought <= _model_checksums(item):
            return str(item["id"])
    return None


def _model_checksums(item: Item) -> set[str]:
    found = (items.onnx_asset(item), items.weights_asset(item))
    return {str(one[1]["file:checksum"]) for one in found if one is not None and "file:checksum" in one[1]}


def register(services: Services, opened: OpenedModel) -> ChangeSet:
    """Make a pushed model the active version of a base model of its name. The same artifact again changes nothing.

    Its files are copied to the artifact store: a catalog does not depend on what a registry keeps.

    Raises:
        RefusedError: the item is not valid, or its name belongs to a model that was made here; every reason is named.
        StorageError: its files cannot be had or kept; neither an item nor files are left behind.
    """
    href = f"{SCHEME}{opened.reference}"
    item = as_base_model(opened.item, href)
    slug, uid = str(item["id"]), str(opened.reference.digest)
    _require_own_name(services.catalog, opened, slug)
    services.validator.require(declared_as(item, "base-model", services.knowledge))
    incoming = Incoming(
        uid=uid,
        declared=items.number_of(item),
        content=partial(_content, services, item),
    )
    return publish(services, items.BASE_MODELS, slug, incoming)


def slug_of(opened: OpenedModel) -> str:
    """The base model that an opened one is registered as."""
    return items.name_of(opened.item)


def _require_own_name(catalog: CatalogStore, opened: OpenedModel, slug: str) -> None:
    """Who may push to a registry must not take over a model that was made here."""
    subject = f"registration of {opened.reference}"
    if catalog.family(items.LOCAL_MODELS, slug):
        raise RefusedError(subject, [f"{slug!r} is a model that was finetuned here: push it under another mlm:name"])
    family = catalog.family(items.BASE_MODELS, slug)
    if any(not came_as_artifact(item) for item in family):
        raise RefusedError(subject, [f"{slug!r} is a base model with a folder here: push it under another mlm:name"])
    repositories = {_place(href) for item in family if (href := oci_href(item))}
    if repositories - {_place(f"{SCHEME}{opened.reference}")}:
        told = ", ".join(sorted(repositories))
        raise RefusedError(subject, [f"{slug!r} was registered from {told}: push its versions there"])


def _place(href: str) -> str:
    """Registry and repository of an artifact."""
    reference = Reference.parse(href)
    return f"{reference.registry}/{reference.repository}"


def _content(services: Services, item: Item, folder: str) -> Item:
    """The item with its files in the artifact store, which verifies what arrives."""
    assets = {}
    for key, asset in item["assets"].items():
        assets[key] = dict(asset)
        href = str(asset["href"])
        if href.startswith(SCHEME) and "#" in href:
            source = local_file(services, href, str(asset["file:checksum"]))
            # Two files of one name may stand in two folders of the artifact.
            target = f"{folder}/{key}/{PurePosixPath(source).name}"
            assets[key] |= services.artifacts.publish(source, target).fields()
    return current(declared_as(item | {"assets": assets}, "base-model", services.knowledge), services.knowledge)

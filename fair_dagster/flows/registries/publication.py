"""Promoted models as artifacts of a registry: pushed once, recorded in ZenML, named by their items.

The one road: what was pushed stands on the ZenML version, and the family is recomputed from there. What an artifact
holds stands in ``model_artifacts``; what other people push is the business of ``oci_models``.

See docs/decisions/0043.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items
from fair_dagster.domain.errors import FairError, NotFoundError, RefusedError, UnreachableError
from fair_dagster.domain.items.entries import Entry
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.desired import slug_of
from fair_dagster.domain.publication.findings import Done, Finding
from fair_dagster.domain.registries.assets import SCHEME, is_in, oci_href, repository_of, version_tag
from fair_dagster.domain.requests import OCI_KEY
from fair_dagster.domain.versions import named_version
from fair_dagster.flows.publication import families
from fair_dagster.flows.registries.artifacts import push_item
from fair_dagster.flows.registries.lineage import base_of, link_to_base
from fair_dagster.flows.services import Services
from fair_dagster.oci.references import Reference
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from fair_dagster.oci.registry.blobs import Progress
    from fair_dagster.oci.registry.registries import Registries
    from fair_dagster.pipelines.zenml.model_versions import ModelVersions

UNSET = "FAIR_OCI_REPOSITORY is not set: models are pushed to no registry"


@dataclass(frozen=True)
class PushOutcome:
    """What became of a version.

    Attributes:
        reference: the artifact by its digest; None where there is none, and ``note`` says why.
        uploaded: bytes that were sent; 0 where the registry had everything.
    """

    reference: Reference | None
    note: str
    uploaded: int = 0


def target_of(settings: Settings, item: Item) -> Reference:
    """Where an item's artifact is pushed to.

    Raises:
        RefusedError: no repository is set, or it is no repository.
    """
    if not settings.oci_repository:
        raise RefusedError(f"push of {item['id']}", [UNSET])
    return Reference.parse(_place(settings, slug_of(item))).with_tag(version_tag(items.number_of(item)))


def _place(settings: Settings, family: str) -> str:
    """The repository of a model, as references to it are spelled: ``index.docker.io`` is ``docker.io``."""
    reference = Reference.parse(repository_of(settings.oci_repository, family))
    return f"{reference.registry}/{reference.repository}"


def push_version(services: Services, version_id: str, progress: "Progress | None" = None) -> PushOutcome:
    """Push a published version, unless its registry has it, and let its item name the artifact.

    A version that is in use no more is not pushed for the first time: nobody would look for it.

    Raises:
        RefusedError: no repository is set, or the version cannot be pushed; every reason is named.
        ServiceError: the registry or ZenML refuses, or does not answer; what was sent is found there the next time.
    """
    item = services.catalog.get(ItemKey(items.LOCAL_MODELS, version_id))
    if item is None:
        return PushOutcome(None, f"{version_id} is not published: promote it, and it is pushed")
    target, there = target_of(services.settings, item), _recorded(services, item)
    if there is not None:
        _name_in_item(services, item, there)
        return PushOutcome(there, f"{there} holds everything already{_linked(services, item, there)}")
    if not items.is_active(item) and oci_href(item) is None:
        return PushOutcome(None, f"{version_id} is in use no more, and was never pushed")
    pushed = push_item(services, version_id, target, progress=progress)
    _record(services, item, pushed.pinned)
    return PushOutcome(
        pushed.pinned, f"pushed {pushed.pinned}{_linked(services, item, pushed.pinned)}", pushed.uploaded
    )


def _linked(services: Services, item: Item, artifact: Reference) -> str:
    """Let the base model's artifact be referred to; what is to be said of it where that cannot be."""
    base = base_of(services.catalog, item)
    if base is None:
        return ""
    problem = link_to_base(services, base, target_of(services.settings, base), str(item["id"]), artifact)
    return f"; {problem}" if problem else ""


def _recorded(services: Services, item: Item) -> Reference | None:
    """The artifact of the item's version when it was pushed to the repository that is set, and is whole there."""
    href = _href_in_zenml(services.versions, item) or ""
    if not is_in([href], _place(services.settings, slug_of(item))):
        return None
    reference = Reference.parse(href)
    return None if _lack(services.registries, reference) else reference


def _href_in_zenml(versions: "ModelVersions", item: Item) -> str | None:
    version = versions.get(*named_version(str(item["id"])))
    found = version.metadata.get(OCI_KEY) if version.uuid == item["properties"].get(items.ZENML_UID) else None
    return found if isinstance(found, str) else None


def _lack(registries: "Registries", reference: Reference) -> str:
    """What the registry lacks of an artifact; empty when it is whole. Nothing is downloaded but the manifest."""
    try:
        manifest = registries.image_manifest(reference)
    except NotFoundError:
        return f"{reference} is gone"
    lost = [blob.title or blob.digest for blob in manifest.blobs if not registries.has_blob(reference, blob.digest)]
    return f"{reference} has lost {', '.join(lost)}" if lost else ""


def _record(services: Services, item: Item, pinned: Reference) -> None:
    services.versions.log(str(item["properties"][items.ZENML_UID]), {OCI_KEY: f"{SCHEME}{pinned}"})
    families.recompute(services, slug_of(item))


def _name_in_item(services: Services, item: Item, pinned: Reference) -> None:
    """Where a push was cut off after it was recorded, or somebody took the asset out."""
    if oci_href(item) != f"{SCHEME}{pinned}":
        families.recompute(services, slug_of(item))


def unpushed(catalog: CatalogStore, settings: Settings) -> list[Entry]:
    """Models in use that are not in the repository that is set, as the catalog's index tells it."""
    return [
        entry
        for entry in catalog.entries(items.LOCAL_MODELS)
        if not entry.deprecated and not is_in(entry.folders, _place(settings, entry.family))
    ]


def pushed_findings(
    registries: "Registries",
    settings: Settings,
    scanned: Sequence[Item],
    collections: Sequence[str],
    progress: Callable[[int, int, str], None],
) -> list[Finding]:
    """Promoted models that their registry does not have: never pushed, gone, or not whole.

    Nothing is found where no repository is set, or nobody may be asked (``FAIR_OFFLINE``).
    """
    if not settings.oci_repository or settings.offline or items.LOCAL_MODELS not in collections:
        return []
    local = [item for item in scanned if item["collection"] == items.LOCAL_MODELS]
    wanted = [item for item in local if items.is_active(item) or oci_href(item)]
    findings: list[Finding] = []
    for done, item in enumerate(wanted):
        progress(done, len(wanted), "artifacts of registries")
        try:
            found = _finding(registries, settings, item)
        except UnreachableError as error:
            return [*findings, Finding(items.LOCAL_MODELS, "", "unchecked artifact", str(error))]
        except FairError as error:
            found = Finding(items.LOCAL_MODELS, str(item["id"]), "unchecked artifact", str(error), "", slug_of(item))
        findings += [found] if found else []
    return findings


def _finding(registries: "Registries", settings: Settings, item: Item) -> Finding | None:
    href, target = oci_href(item), target_of(settings, item)
    # One in another repository stays what it is, and the version is pushed to the one that is set now.
    if href is None or not is_in([href], _place(settings, slug_of(item))):
        if not items.is_active(item):
            return None
        detail = f"it is not in {target.registry}/{target.repository}"
        return _to_push(item, "unpushed artifact", detail, f"{SCHEME}{target}")
    lack = _lack(registries, Reference.parse(href))
    return _to_push(item, "missing artifact", f"asset 'oci': {lack}", href) if lack else None


def _to_push(item: Item, kind: Literal["unpushed artifact", "missing artifact"], detail: str, href: str) -> Finding:
    return Finding(items.LOCAL_MODELS, str(item["id"]), kind, detail, "push it", slug_of(item), href)


def push_again(services: Services, findings: Sequence[Finding]) -> list[Done]:
    """Push what ``pushed_findings`` found."""
    done = []
    for finding in findings:
        if finding.target.startswith(SCHEME):
            try:
                outcome = push_version(services, finding.item)
                done.append(Done(finding.collection, finding.item, "pushed", outcome.note))
            except FairError as error:
                done.append(Done(finding.collection, finding.item, "not repaired", str(error), failed=True))
    return done

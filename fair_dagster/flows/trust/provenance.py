"""Where a finetuned model comes from, read from the catalog and from ZenML, as a statement about its artifact.

What the statement looks like stands in ``trust.provenance``; signing it, in ``trust.signing``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items
from fair_dagster.domain.errors import NotFoundError, RefusedError
from fair_dagster.domain.items.artifacts import sha256_of
from fair_dagster.domain.items.images import image_of, is_image
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.promoted_items import CONFIG_ASSET
from fair_dagster.domain.registries.assets import oci_href
from fair_dagster.domain.requests import RUN_KEY, FinetuneRequest
from fair_dagster.domain.slugs import version_id
from fair_dagster.domain.versions import VersionRecord, named_version
from fair_dagster.flows.items import at_version, find
from fair_dagster.flows.services import Services
from fair_dagster.flows.trust.acceptance import model_files
from fair_dagster.oci.references import Reference
from fair_dagster.oci.trust.provenance import TREE, Material, ProvenTraining, provenance_statement
from fair_dagster.oci.trust.statements import files_of

if TYPE_CHECKING:
    from fair_dagster.oci.descriptors import Manifest
    from fair_dagster.oci.registry.registries import Registries
    from fair_dagster.pipelines.zenml.run_records import RunRecord
    from fair_dagster.pipelines.zenml.runs import Runs

_CHOSEN = ("base_model", "base_model_version", "dataset", "dataset_version", "overrides", "rerun_of")
"""Of a request. Who asked for it stays here: a statement travels."""


def statement_of(
    services: Services, registries: "Registries", reference: Reference, model: str | None = None
) -> dict[str, Any]:
    """The provenance of the artifact at ``reference``.

    Args:
        model: an item, or the name of a finetuned model; without it the item that names the artifact.

    Raises:
        NotFoundError: no item names the artifact, or there is no such model.
        RefusedError: the artifact holds other files than the model has, or the model was not trained here.
        As ``Registries``, and ``ServiceError`` where ZenML cannot be asked.
    """
    manifest = registries.image_manifest(reference)
    pinned = reference.at(manifest.digest)
    item = find(services.catalog, model, (items.LOCAL_MODELS,)) if model else _named_by(services.catalog, pinned)
    _require_same_files(item, pinned, manifest)
    version = services.versions.get(*named_version(str(item["id"])))
    request = FinetuneRequest.of(version)
    if request is None or version.uuid != item["properties"].get(items.ZENML_UID):
        raise RefusedError(f"provenance of {pinned}", [f"ZenML knows no training of {item['id']} any more"])
    name = f"{pinned.registry}/{pinned.repository}"
    return provenance_statement(
        name, manifest, _training(services.catalog, services.zenml_runs, item, version, request)
    )


def _named_by(catalog: CatalogStore, pinned: Reference) -> Item:
    for item in catalog.items(items.LOCAL_MODELS):
        if oci_href(item) == f"oci://{pinned}":
            return item
    problem = "name the model that was trained here, as --model; of others nobody here knows where they come from"
    raise NotFoundError(f"an item that names {pinned}", [problem])


def _require_same_files(item: Item, pinned: Reference, manifest: "Manifest") -> None:
    files, problems = model_files(item)
    try:
        there = set(files_of(manifest).values())
    except ValueError as error:
        problems.append(str(error))
        there = set()
    problems += [f"it does not hold {key!r} of {item['id']}" for key, digest in files.items() if digest not in there]
    if problems or not files:
        raise RefusedError(f"provenance of {pinned}", problems or [f"{item['id']} names no model file"])


def _training(
    catalog: CatalogStore, zenml_runs: "Runs", item: Item, version: VersionRecord, request: FinetuneRequest
) -> ProvenTraining:
    run = _run(zenml_runs, version)
    parameters = {name: value for name, value in asdict(request).items() if name in _CHOSEN and value is not None}
    hyperparameters = item["properties"].get("mlm:hyperparameters", {})
    internal = {"zenml_version": version.uuid, "zenml_run": run.name if run else None}
    internal |= {"dagster_run": version.metadata.get(RUN_KEY)}
    started = run.started if run else None
    ended = started + timedelta(seconds=run.seconds) if run and started and run.seconds is not None else None
    return ProvenTraining(
        parameters={"model": version.id, **parameters, "hyperparameters": hyperparameters},
        internal={name: value for name, value in internal.items() if value},
        materials=tuple(_materials(catalog, item, request)),
        run=f"zenml:{run.id}" if run else f"zenml-version:{version.uuid}",
        started=started,
        finished=ended if run and run.finished else None,
    )


def _run(zenml_runs: "Runs", version: VersionRecord) -> "RunRecord | None":
    """The run that made the version; None where ZenML was cleaned up."""
    try:
        return zenml_runs.show(version.run_ids[-1]) if version.run_ids else None
    except NotFoundError:
        return None


def _materials(catalog: CatalogStore, item: Item, request: FinetuneRequest) -> Iterable[Material]:
    base = at_version(catalog, items.BASE_MODELS, request.base_model, request.base_model_version)
    data = at_version(catalog, items.DATASETS, request.dataset, request.dataset_version)
    if base is not None and (weights := items.weights_asset(base)):
        yield _material("base model", base, *weights)
    if data is not None:
        yield from (
            _material(key, data, key, data["assets"][key]) for key in ("chips", "labels") if key in data["assets"]
        )
    if CONFIG_ASSET in item["assets"]:
        yield _material("configuration", item, CONFIG_ASSET, item["assets"][CONFIG_ASSET])
    if code := items.code_asset(item):
        yield _material("code", base or item, *code)
    runtime = items.runtime_asset(item, items.TRAINING)
    if runtime is not None and is_image(runtime[1]):
        image = image_of(runtime[1])
        _, _, digest = image.partition("@sha256:")
        yield Material("image", f"docker://{image}", {"sha256": digest} if digest else {})


def _material(name: str, item: Item, key: str, asset: Mapping[str, Any]) -> Material:
    digest, href = sha256_of(asset.get("file:checksum")), str(asset["href"])
    # A path of this machine tells nobody else where it is.
    versioned = version_id(items.name_of(item), items.number_of(item))
    uri = href if "://" in href else f"catalog://{item['collection']}/{versioned}#{key}"
    # Whether it is a file or a folder is nothing that an item tells.
    return Material(name, uri, {TREE: digest} if digest else {})

"""Finetunes: check a request, write the one YAML that drives it, run it in a process of its own."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.catalog.validation.schemas import vocabulary
from fair_dagster.domain import items
from fair_dagster.domain.compatibility import mismatches
from fair_dagster.domain.errors import NotFoundError, ProblemsError, RefusedError
from fair_dagster.domain.items.hyperparameter_spec import override_problems
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.promoted_items import CONFIG_ASSET
from fair_dagster.domain.requests import FinetuneRequest
from fair_dagster.domain.slugs import slug_problems, split_version_id
from fair_dagster.domain.training_config import EXTRA, Config, rerun_config, training_config
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.flows import items as item_flow
from fair_dagster.flows.code import changed_since_registration, code_folder, code_problems
from fair_dagster.flows.fetching import href_problems, local_config, told_by
from fair_dagster.flows.finetunes.allocations import allocation_of, config_path
from fair_dagster.flows.services import Services
from fair_dagster.flows.training_files import CONFIG_FILE, RESULT_FILE, left_config, run_folder
from fair_dagster.net.files import write_bytes
from fair_dagster.pipelines.contract import check_folder
from fair_dagster.pipelines.inputs import ADDRESSES
from fair_dagster.settings import Settings
from fair_dagster.storage.store import ArtifactStore

if TYPE_CHECKING:
    from fair_dagster.pipelines.zenml.model_versions import ModelVersions
    from fair_dagster.pipelines.zenml.stacks import Stacks

CHIPS, LABELS = "chips", "labels"


@dataclass(frozen=True)
class Ask:
    """A finetune as a user asks for it: names, not versions. ``overrides`` by hyperparameter."""

    base_model: str
    dataset: str
    model_name: str
    overrides: Mapping[str, Any]
    title: str | None = None
    description: str | None = None
    user: str | None = None


def check(services: Services, ask: Ask) -> FinetuneRequest:
    """The request with the exact versions it would use. Nothing is written.

    Raises:
        RefusedError: with every reason at once.
    """
    problems = slug_problems(ask.model_name, "model name") + _stack_problems(services.stacks, services.settings)
    found: dict[str, Item] = {}
    for collection, name in ((items.BASE_MODELS, ask.base_model), (items.DATASETS, ask.dataset)):
        try:
            found[collection] = item_flow.find(services.catalog, name, (collection,))
        except ProblemsError as error:  # not found, or a name that no item can have
            problems += error.problems
    base_model, dataset = found.get(items.BASE_MODELS), found.get(items.DATASETS)
    if base_model is not None:
        problems += override_problems(base_model, ask.overrides, items.TRAINING)
        problems += _weights_problems(services, base_model) + code_problems(services.settings, base_model)
        problems += changed_since_registration(services.settings, base_model)
        problems += _name_problems(services.catalog, services.versions, ask.model_name, base_model)
        if dataset is not None:
            problems += mismatches(base_model, dataset, vocabulary())
    if dataset is not None:
        problems += _data_problems(services, dataset)
    if problems or base_model is None or dataset is None:
        raise RefusedError(f"finetune of {ask.model_name!r}", problems)
    return FinetuneRequest(
        base_model=split_version_id(base_model["id"])[0],
        base_model_version=items.number_of(base_model),
        dataset=split_version_id(dataset["id"])[0],
        dataset_version=items.number_of(dataset),
        model_name=ask.model_name,
        overrides=dict(ask.overrides),
        title=ask.title,
        description=ask.description,
        user=ask.user,
    )


def _stack_problems(stacks: "Stacks", settings: Settings) -> list[str]:
    """Why nobody could publish what a worker trains."""
    if settings.executor != "celery" or not (stack := stacks.of_one_machine()):
        return []
    return [
        f"FAIR_EXECUTOR=celery trains on workers, and ZenML's stack {stack!r} keeps a model in a folder of the machine "
        "that trained it, where no other machine can publish it: apply a stack with a bucket by `fair-dagster stack "
        "apply deploy/zenml/local.yaml --use`, or name one by ZENML_ACTIVE_STACK_ID, here and on every worker"
    ]


def _weights_problems(services: Services, base_model: Item) -> list[str]:
    found = items.weights_asset(base_model)
    if found is None:
        return []
    problems = href_problems(services, str(found[1].get("href", "")), f"the weights file of {base_model['id']!r}")
    if not items.is_pickle(found[1]) or services.settings.allow_pickle:
        return problems
    return [
        *problems,
        f"the weights of {base_model['id']!r} are a pickle, which can run code when loaded; "
        "set FAIR_ALLOW_PICKLE=true if you trust their author",
    ]


def _data_problems(services: Services, dataset: Item) -> list[str]:
    problems = []
    for key, what in ((CHIPS, "the chips folder"), (LABELS, "the labels file")):
        href = str(dataset["assets"].get(key, {}).get("href", ""))
        if "://" in href:
            problems += href_problems(services, href, f"{what} of {dataset['id']!r}", folder=key == CHIPS)
    return problems


def _name_problems(catalog: CatalogStore, versions: "ModelVersions", model_name: str, base_model: Item) -> list[str]:
    """One finetuned model keeps to one base model: its versions are partitions of that base model's assets."""
    slug = split_version_id(base_model["id"])[0]
    if catalog.family(items.BASE_MODELS, model_name):
        return [f"model name {model_name!r} is taken by a base model"]
    for version in _versions(versions, model_name):
        request = FinetuneRequest.of(version)
        if request is not None and request.base_model != slug:
            return [f"model name {model_name!r} is taken by a finetune of {request.base_model!r}; choose another name"]
    return []


def _versions(versions: "ModelVersions", model_name: str) -> list[VersionRecord]:
    try:
        return versions.list(model_name)
    except NotFoundError:
        return []


def check_rerun(services: Services, model_name: str, number: int) -> FinetuneRequest:
    """The request that runs the configuration of a version again.

    Raises:
        NotFoundError: no such version.
        RefusedError: its configuration is not kept any more, the code has changed since, or ``check`` would say so.
    """
    version = services.versions.get(model_name, number)
    request = FinetuneRequest.of(version)
    if request is None or kept_config(services, version.id, version.uuid) is None:
        raise RefusedError(f"rerun of {version.id!r}", ["it has no training configuration that was made here"])
    if problems := _code_changes(services.catalog, services.settings, request) + _stack_problems(
        services.stacks, services.settings
    ):
        raise RefusedError(f"rerun of {version.id!r}", problems)
    return replace(request, rerun_of=version.id)


def _code_changes(catalog: CatalogStore, settings: Settings, request: FinetuneRequest) -> list[str]:
    key = (items.BASE_MODELS, request.base_model, request.base_model_version)
    base_model = item_flow.at_version(catalog, *key)
    return changed_since_registration(settings, base_model) if base_model else []


def kept_config(services: Services, version_id: str, uuid: str) -> bytes | None:
    """A version's training configuration: in its run folder, as it was published, or as another machine left it."""
    path = config_path(services.settings, version_id, uuid)
    if path.is_file():
        return path.read_bytes()
    published = _published_config(services.catalog, services.artifacts, version_id, uuid)
    return published if published is not None else left_config(services.artifacts, services.settings, version_id, uuid)


def _published_config(catalog: CatalogStore, artifacts: ArtifactStore, version_id: str, uuid: str) -> bytes | None:
    item = catalog.get(ItemKey(items.LOCAL_MODELS, version_id))
    if item is None or item["properties"].get(items.ZENML_UID) != uuid:
        return None
    href = str(item["assets"].get(CONFIG_ASSET, {}).get("href", ""))
    if (key := artifacts.key_of(href)) is not None:
        return artifacts.read(key)
    return Path(href).read_bytes() if Path(href).is_file() else None


def write_config(services: Services, partition: str) -> tuple[Path, Config]:
    """Generate the ZenML run configuration of a version and keep it in the version's run folder.

    Raises:
        RefusedError: a parent is gone, or the original configuration of a rerun is.
        StorageError: it cannot be written.
    """
    allocation = allocation_of(services.versions, services.settings, partition)
    request = allocation.request
    if request.rerun_of:
        config = rerun_config(_config_of(services, request.rerun_of), allocation.number)
    else:
        base_model, dataset = item_flow.parents(services.catalog, request)
        config = training_config(
            request,
            allocation.number,
            base_model,
            dataset,
            step_parameters=check_folder(code_folder(services.settings, base_model)).parameters,
            experiment_tracker=services.settings.experiment_tracker,
        )
    path = config_path(services.settings, partition, allocation.uuid)
    write_bytes(path, yaml.safe_dump(config, sort_keys=False).encode())
    return path, config


def _config_of(services: Services, version_id: str) -> Config:
    kept = kept_config(services, version_id, allocation_of(services.versions, services.settings, version_id).uuid)
    if kept is None:
        raise RefusedError(f"rerun of {version_id!r}", ["its training configuration is gone"])
    config: Config = yaml.safe_load(kept)
    return config


def training_command(services: Services, partition: str) -> tuple[list[str], Path]:
    """The runner's command line for a version whose configuration has been written, and where its result goes.

    Weights, chips and labels that are not on this machine are fetched first.

    Raises:
        StorageError: one of them cannot be had.
        RefusedError: the version was published, and what others have pulled is not trained over; or the code of its
            base model is not what was registered; or this machine's stack of ZenML is its own.
    """
    allocation = allocation_of(services.versions, services.settings, partition)
    uuid = allocation.uuid
    published = services.catalog.get(ItemKey(items.LOCAL_MODELS, partition))
    if published is not None and published["properties"].get(items.ZENML_UID) == uuid:
        advice = f"it was published and stays as it is; `fair-dagster rerun {partition}` trains a new version"
        raise RefusedError(f"training of {partition!r}", [advice])
    if problems := _code_changes(services.catalog, services.settings, allocation.request) + _stack_problems(
        services.stacks, services.settings
    ):
        raise RefusedError(f"training of {partition!r}", problems)
    folder = run_folder(services.settings, partition, uuid)
    if not (folder / CONFIG_FILE).is_file():
        # Another machine has written it, which executed the step before.
        write_config(services, partition)
    config = yaml.safe_load((folder / CONFIG_FILE).read_text())
    told = told_by(item for item in item_flow.known_parents(services.catalog, allocation.request) if item is not None)
    path = local_config(services, folder / CONFIG_FILE, ("parameters",), ADDRESSES, told)
    command = [
        *(sys.executable, "-m", "fair_dagster.pipelines.runner", "train"),
        *("--config", str(path), "--addresses", str(folder / CONFIG_FILE)),
        *("--entrypoint", str(config["extra"][EXTRA]["entrypoint"])),
        *("--result", str(folder / RESULT_FILE)),
    ]
    return command, folder / RESULT_FILE

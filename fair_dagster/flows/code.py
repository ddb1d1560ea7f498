"""The code behind an item: where the runner imports it from, and whether it is what was registered."""

from pathlib import Path

from fair_dagster.domain import items
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.registries.models import came_as_artifact
from fair_dagster.pipelines.contract import folder_digest
from fair_dagster.pipelines.entrypoints import is_allowed
from fair_dagster.settings import Settings


def code_folder(settings: Settings, item: Item) -> Path:
    """The folder that holds the item's pipeline: ``models.<name>`` stands in the folder that ``FAIR_MODELS`` names."""
    module = items.pipeline_module(item) or ""
    return settings.models.joinpath(*module.split(".")[1:-1])


def code_problems(settings: Settings, item: Item) -> list[str]:
    """Why the item's code cannot be run here."""
    module = items.pipeline_module(item)
    if module is None:
        return [f"{item['id']!r} has no code asset with mlm:entrypoint"]
    if not is_allowed(module, settings.entrypoint_roots):
        roots = ", ".join(settings.entrypoint_roots)
        return [f"entrypoint {module!r} of {item['id']!r} stands outside the allowed roots: {roots}"]
    if not code_folder(settings, item).is_dir():
        return [f"the code of {item['id']!r} ({module}) is not in {settings.models}; add its folder or set FAIR_MODELS"]
    return []


def changed_since_registration(settings: Settings, base_model: Item) -> list[str]:
    """Why training would not use the code that was registered; a finetune has to name what it was made from."""
    if came_as_artifact(base_model):
        problem = "it was registered from an artifact, which brings no folder to train by: it predicts"
        return [f"{base_model['id']!r} cannot be finetuned here: {problem}, and is finetuned where its folder is"]
    folder, number = code_folder(settings, base_model), items.number_of(base_model)
    registered = base_model["properties"].get(items.UID)
    if not folder.is_dir() or registered in {None, folder_digest(folder)}:
        return []
    where, back = str(folder), f"restore version {number}"
    if settings.follows_branch:
        where = f"models/{folder.name} on the branch {settings.models_branch!r}"
        back = f"bring version {number} back on the branch"
    if not items.is_active(base_model):
        advice = f"finetune its newest version, or {back}"
    elif settings.follows_branch:
        advice = f"`fair-dagster base-model sync` registers it; or {back}"
    else:
        advice = f"register it, or {back}"
    return [f"{where} has changed since version {number} of it was registered: {advice}"]

"""The generated run configurations: the one YAML that drives a finetune, and the one that drives a prediction.

A training configuration is a ZenML run configuration, so ``zenml pipeline run --config`` takes it too; what is ours
stands under ``extra``. Nothing here reads or writes files.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fair_dagster.domain import items
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items import hyperparameter_spec
from fair_dagster.domain.items.artifacts import told_by_href
from fair_dagster.domain.items.images import image_of, is_image
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.requests import FinetuneRequest
from fair_dagster.domain.slugs import version_id

Config = dict[str, Any]
EXTRA = "fair"
INPUTS = "inputs"
"""What items say of size and checksum of the inputs, by address: below ``EXTRA``."""


def training_config(
    request: FinetuneRequest,
    number: int,
    base_model: Item,
    dataset: Item,
    *,
    step_parameters: Mapping[str, Sequence[str]] | None = None,
    experiment_tracker: str | None = None,
) -> Config:
    """The ZenML run configuration of version ``number`` of ``request.model_name``.

    ``step_parameters`` names what each step takes: ZenML refuses a parameter that a step does not have. Left out, the
    steps are taken to follow the whole contract.

    Raises:
        RefusedError: the items lack an asset that training needs.
    """
    chips, labels = (dataset["assets"].get(key) for key in ("chips", "labels"))
    weights = items.weights_asset(base_model)
    module = items.pipeline_module(base_model)
    missing = [
        f"{item['id']!r} has no {what} asset"
        for what, item, found in (
            ("chips", dataset, chips),
            ("labels", dataset, labels),
            ("weights", base_model, weights),
            ("code", base_model, module),
        )
        if not found
    ]
    if chips is None or labels is None or weights is None or module is None:
        raise RefusedError(f"finetune of {request.model_name!r}", missing)
    class_names = [c["name"] for c in items.classes(base_model)]
    config: Config = {
        "run_name": version_id(request.model_name, number) + "-{date}-{time}",
        "enable_cache": False,
        "parameters": {
            "base_model_weights": weights[1]["href"],
            "dataset_chips": chips["href"],
            "dataset_labels": labels["href"],
            "num_classes": len(class_names),
            "hyperparameters": hyperparameter_spec.resolve(base_model, request.overrides, items.TRAINING),
        },
        "model": {"name": request.model_name, "version": number},
        "steps": _steps(request, class_names, step_parameters, experiment_tracker),
        "tags": [
            f"model:{request.model_name}",
            f"base-model:{version_id(request.base_model, request.base_model_version)}",
            f"dataset:{version_id(request.dataset, request.dataset_version)}",
        ],
        "extra": {
            EXTRA: {
                "entrypoint": f"{module}:training_pipeline",
                "pickle": items.is_pickle(weights[1]),
                INPUTS: {href: told.fields() for href, told in told_by_href((weights[1], chips, labels)).items()},
            }
        },
    }
    if docker := docker_settings(base_model, items.TRAINING):
        config["settings"] = {"docker": docker}
    return config


def _steps(
    request: FinetuneRequest,
    class_names: Sequence[str],
    taken: Mapping[str, Sequence[str]] | None,
    experiment_tracker: str | None,
) -> Config:
    """What the steps of the contract are told; of it, each gets what it takes."""
    offered: dict[str, Config] = {
        "train_model": {
            "model_name": request.model_name,
            "base_model_id": request.base_model,
            "dataset_id": request.dataset,
        },
        "evaluate_model": {"class_names": list(class_names)},
    }
    steps: Config = {}
    for step, values in offered.items():
        names = values if taken is None else taken.get(step, ())
        steps[step] = {"parameters": {name: value for name, value in values.items() if name in names}}
        if experiment_tracker:
            steps[step]["experiment_tracker"] = experiment_tracker
    return steps


def rerun_config(config: Mapping[str, Any], number: int) -> Config:
    """The same training configuration for another version number of the same model."""
    name = config["model"]["name"]
    return {
        **config,
        "run_name": version_id(name, number) + "-{date}-{time}",
        "model": {**config["model"], "version": number},
    }


def docker_settings(item: Item, phase: str) -> Config | None:
    """ZenML's docker settings from the runtime asset; None where the runtime is this environment."""
    found = items.runtime_asset(item, phase)
    if found is None or not is_image(found[1]):
        return None
    return {"parent_image": image_of(found[1]), "skip_build": True}


def prediction_config(model: Item, images: str, overrides: Mapping[str, Any], output: str) -> Config:
    """What the runner's ``predict`` reads: entrypoint, ONNX model, images, parameters, output file.

    Raises:
        RefusedError: the item lacks an ONNX model or an entrypoint, or an override does not fit its spec.
    """
    onnx, module = items.onnx_asset(model), items.pipeline_module(model)
    problems = hyperparameter_spec.override_problems(model, overrides, items.INFERENCE)
    problems += [] if onnx else [f"{model['id']!r} has no ONNX model asset"]
    problems += [] if module else [f"{model['id']!r} has no code asset with mlm:entrypoint"]
    if problems or onnx is None:
        raise RefusedError(f"prediction with {model['id']!r}", problems)
    return {
        "entrypoint": f"{module}:predict",
        "model_uri": onnx[1]["href"],
        "model_checksum": onnx[1].get("file:checksum"),
        "input_images": images,
        "inference_params": hyperparameter_spec.resolve(model, overrides, items.INFERENCE),
        "output": output,
    }

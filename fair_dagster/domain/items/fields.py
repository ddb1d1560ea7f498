"""Reading STAC items of models and datasets: assets by role, hyperparameters, classes, versions.

Assets are found by role first and by key second, so that both spellings in the wild work
(``training-runtime`` and ``mlm:training``, ``checkpoint`` and ``weights``). Nothing here builds or checks items.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fair_dagster.domain.items.stac import Item

Asset = dict[str, Any]

BASE_MODELS = "base-models"
LOCAL_MODELS = "local-models"
DATASETS = "datasets"
COLLECTIONS = (BASE_MODELS, LOCAL_MODELS, DATASETS)

PARENT_FIELDS = {BASE_MODELS: "fair:base_model", DATASETS: "fair:dataset"}
"""Where a finetuned model says what it was made from; ``<field>_version`` is the version."""

SCHEMA_VERSION = "1.1.0"
"""The newest version of our item schemas: the one that items are written in."""
SCHEMA_ROOT = "https://hotosm.github.io/fair-dagster/schemas"

UID = "fair:digest"
"""Identity of a base model or dataset release: a digest of its content."""
ZENML_UID = "fair:zenml_version_id"
"""Identity of a local model release: ZenML's UUID, because ZenML uses a number again after a deletion."""

TRAINING = "training"
INFERENCE = "inference"
LOCAL_RUNTIME = "local"
"""The href of a runtime asset that means: in this environment, no container."""

_NUMBER = re.compile(r"[0-9]{1,18}")
_PICKLES = frozenset({"pickle", "torch.save", "joblib"})


@dataclass(frozen=True)
class _Wanted:
    role: str
    keys: tuple[str, ...]


_WEIGHTS = _Wanted("mlm:weights", ("checkpoint", "weights"))
_CODE = _Wanted("code", ("source-code", "code"))
_RUNTIMES = {
    TRAINING: _Wanted("mlm:training-runtime", ("training-runtime", "mlm:training")),
    INFERENCE: _Wanted("mlm:inference-runtime", ("inference-runtime", "mlm:inference")),
}


def roles(asset: Asset) -> Sequence[str]:
    found = asset.get("roles")
    return found if isinstance(found, list) else ()


def _find(item: Item, wanted: _Wanted) -> tuple[str, Asset] | None:
    assets: dict[str, Asset] = item.get("assets", {})
    candidates = [(key, asset) for key, asset in assets.items() if wanted.role in roles(asset)]
    candidates += [(key, assets[key]) for key in wanted.keys if key in assets]
    return candidates[0] if candidates else None


def is_onnx(asset: Asset) -> bool:
    kind = str(asset.get("mlm:artifact_type", "")).lower()
    return "onnx" in kind or str(asset.get("href", "")).lower().endswith(".onnx")


def onnx_asset(item: Item) -> tuple[str, Asset] | None:
    """The model for inference: an ONNX asset with role ``mlm:model``, or the key ``model`` or ``onnx``."""
    assets: dict[str, Asset] = item.get("assets", {})
    by_role = [(key, a) for key, a in assets.items() if "mlm:model" in roles(a) and is_onnx(a)]
    by_key = [(key, assets[key]) for key in ("model", "onnx") if key in assets and is_onnx(assets[key])]
    return (by_role or by_key or [None])[0]


def weights_asset(item: Item) -> tuple[str, Asset] | None:
    """The weights that training starts from; early items have only a ``mlm:model`` that is no ONNX."""
    assets: dict[str, Asset] = item.get("assets", {})
    plain = [(key, asset) for key, asset in assets.items() if "mlm:model" in roles(asset) and not is_onnx(asset)]
    return _find(item, _WEIGHTS) or (plain[0] if plain else None)


def runtime_asset(item: Item, phase: str) -> tuple[str, Asset] | None:
    """The runtime of ``phase`` (``training`` or ``inference``)."""
    return _find(item, _RUNTIMES[phase])


def code_asset(item: Item) -> tuple[str, Asset] | None:
    return _find(item, _CODE)


def is_pickle(asset: Asset) -> bool:
    """Whether loading the asset could run code."""
    kind = str(asset.get("mlm:artifact_type", "")).lower()
    return kind in _PICKLES or str(asset.get("href", "")).lower().endswith((".pkl", ".pickle", ".joblib"))


def pipeline_module(item: Item) -> str | None:
    """The module of the item's entrypoint, e.g. ``models.ramp.pipeline``."""
    found = code_asset(item)
    entrypoint = str(found[1].get("mlm:entrypoint", "")) if found else ""
    return entrypoint.partition(":")[0] or None


def hyperparameters(item: Item, phase: str) -> dict[str, Any]:
    """The defaults of ``phase`` without their prefix: ``training.epochs`` comes out as ``epochs``.

    Early items have no prefixes: what they say is about training.
    """
    values: dict[str, Any] = item["properties"].get("mlm:hyperparameters", {})
    prefix = f"{phase}."
    plain = {key: value for key, value in values.items() if "." not in key and phase == TRAINING}
    return plain | {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}


def classes(item: Item) -> list[dict[str, Any]]:
    """The output classes of a model, in order of their channel."""
    for output in item["properties"].get("mlm:output", []):
        if found := output.get("classification:classes"):
            return list(found)
    return []


def is_active(item: Item) -> bool:
    return not item["properties"].get("deprecated", False)


def number_of(item: Item) -> int:
    """The version number of an item; 1 where a contributor wrote something that is no number."""
    number = number_in(str(item["properties"].get("version", "1")))
    return 1 if number is None else number


def number_in(text: str) -> int | None:
    """The whole number that ``text`` is; None for anything else.

    Only ASCII: ``"²".isdigit()`` is true. Only so many digits as a version may ever have: ``int`` refuses thousands.
    """
    return int(text) if _NUMBER.fullmatch(text) else None


def name_of(item: Item) -> str:
    """The family an item belongs to: ``mlm:name`` of a model, otherwise what the id says."""
    properties = item["properties"]
    return str(properties.get("mlm:name") or properties.get("fair:name") or item["id"])


def schema_uri(kind: str, version: str = SCHEMA_VERSION) -> str:
    """The URI of our schema for ``base-model``, ``local-model`` or ``dataset``."""
    return f"{SCHEMA_ROOT}/{kind}/v{version}/schema.json"

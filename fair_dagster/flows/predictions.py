"""Predictions: any model item and a folder of chips give one GeoJSON file."""

import hashlib
import json
import os
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fair_dagster.domain import items
from fair_dagster.domain.errors import NotFoundError, PipelineError, ProblemsError, RefusedError, StorageError
from fair_dagster.domain.items.artifacts import Told, multihash
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.training_config import prediction_config
from fair_dagster.flows import items as item_flow
from fair_dagster.flows.artifact_files import local_file
from fair_dagster.flows.code import code_problems
from fair_dagster.flows.fetching import href_problems, local_config
from fair_dagster.flows.registries import models
from fair_dagster.flows.run_files import OUTPUT_FILE, read_result
from fair_dagster.flows.services import Services
from fair_dagster.flows.trust.acceptance import require_trusted
from fair_dagster.imagery.chips import inspect_chips
from fair_dagster.net.files import write_bytes
from fair_dagster.oci.references import Reference
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from fair_dagster.oci.registry.registries import Registries

CONFIG_FILE = "prediction.yaml"
RESULT_FILE = "result.json"


@dataclass(frozen=True)
class Prediction:
    """A prediction that has been checked and can be run by ``command``."""

    model: str
    config_path: Path
    output: Path
    result_path: Path

    @property
    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "fair_dagster.pipelines.runner", "predict"),
            *("--config", str(self.config_path)),
            *("--result", str(self.result_path)),
        ]


def default_output(settings: Settings, model: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = Reference.parse(model).repository.rpartition("/")[2] if models.is_artifact(model) else model
    return settings.predictions_path / f"{name}-{stamp}-{uuid.uuid4().hex[:6]}.geojson"


def check(
    services: Services,
    model: str,
    images: Path,
    overrides: Mapping[str, Any],
    output: Path,
    *,
    registries: "Registries | None" = None,
) -> dict[str, Any]:
    """The configuration of a prediction. Nothing is written.

    Args:
        model: an id of the catalog, the name of a finetuned model, or an artifact: ``oci://…``.
        registries: the client for an artifact in a registry that a person has typed.

    Raises:
        NotFoundError: no such model.
        RefusedError: parameters, images or the model file cannot be used; every reason is named.
    """
    problems: list[str] = []
    missing: NotFoundError | None = None
    config: dict[str, Any] = {}
    try:
        item = _model(services, model, registries)
        problems += code_problems(services.settings, item)
        config = prediction_config(item, str(images.resolve()), overrides, str(output.resolve())) | _used(item)
        problems += _model_problems(services, config)
        if not models.is_artifact(model):
            # An artifact was verified before it was opened.
            require_trusted(services, item)
    except ProblemsError as error:
        problems += error.problems
        missing = error if isinstance(error, NotFoundError) else None
    try:
        inspect_chips(images)
    except RefusedError as error:
        problems += [f"images: {problem}" for problem in error.problems]
    if output.is_dir():
        problems.append(f"output {output} is a folder; name a file")
    if missing is not None and len(problems) == len(missing.problems):
        raise missing
    if problems:
        raise RefusedError(f"prediction with {model!r}", problems)
    return config


def _model(services: Services, name: str, registries: "Registries | None") -> Item:
    if models.is_artifact(name):
        return models.open_model(services, Reference.parse(name), registries).item
    return item_flow.find(services.catalog, name, (items.LOCAL_MODELS, items.BASE_MODELS))


def _used(item: Item) -> dict[str, Any]:
    """Exactly which version of the model it is: the id alone would not do, since ids of base models move."""
    properties = item["properties"]
    uid = properties.get(items.ZENML_UID) or properties.get(items.UID) or ""
    version = str(properties.get("version", ""))
    return {"model": item["id"], "item": {"collection": item["collection"], "version": version, "uid": str(uid)}}


def _model_problems(services: Services, config: Mapping[str, Any]) -> list[str]:
    """A model file that is gone or is not the one that was published."""
    if "://" in str(config["model_uri"]):
        return href_problems(services, str(config["model_uri"]), "its ONNX model")
    path, checksum = Path(str(config["model_uri"])), config.get("model_checksum")
    if not path.is_file():
        return [f"the model file {path} is not there; publish the item again"]
    if checksum is None:
        return []
    with path.open("rb") as stream:
        found = multihash(hashlib.file_digest(stream, "sha256").hexdigest())
    return [] if found == checksum else [f"the model file {path} differs from what was published (checksum)"]


def prepare(
    services: Services,
    model: str,
    images: Path,
    overrides: Mapping[str, Any],
    output: Path | None,
    *,
    registries: "Registries | None" = None,
) -> Prediction:
    """Check a prediction and write its configuration; refusals as in ``check``."""
    target = output or default_output(services.settings, model)
    config = check(services, model, images, overrides, target, registries=registries)
    if models.is_artifact(model):
        # Whoever runs it on this machine finds it in the cache, and needs not trust the registry that was typed.
        local_file(services, str(config["model_uri"]), str(config["model_checksum"]), registries)
    folder = services.settings.runs_path / f"predict-{uuid.uuid4().hex[:12]}"
    path = folder / CONFIG_FILE
    write_bytes(path, yaml.safe_dump(config, sort_keys=False).encode())
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror or error}") from error
    return Prediction(str(config["model"]), path, target.resolve(), folder / RESULT_FILE)


def with_local_model(services: Services, prediction: Prediction) -> Prediction:
    """A prediction whose model is on this machine: fetched and verified where it was not.

    Raises:
        StorageError: it cannot be had, or is not what was published.
    """
    config = yaml.safe_load(prediction.config_path.read_text())
    checksum = config.get("model_checksum")
    told = {str(config["model_uri"]): Told(checksum=str(checksum))} if checksum else {}
    path = local_config(services, prediction.config_path, (), ("model_uri",), told)
    return replace(prediction, config_path=path)


def run_here(services: Services, prediction: Prediction) -> Path:
    """Run a prediction in a child process, without Dagster, and wait for it. Ctrl-C ends the child.

    Returns:
        The GeoJSON file.

    Raises:
        StorageError: the model cannot be had, or is not what was published.
        PipelineError: the model's code failed; the message is the cause.
    """
    local = with_local_model(services, prediction)
    log = local.result_path.with_name(OUTPUT_FILE)
    with log.open("wb") as output:
        child = subprocess.Popen(
            local.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal is for this process, which ends the child.
            start_new_session=True,
            env={**os.environ, **services.settings.environment()},
        )
        try:
            code = child.wait()
        except BaseException:
            child.terminate()
            child.wait()
            raise
    if code != 0:
        cause = read_result(local.result_path).get("error") or f"it ended with exit code {code}"
        raise PipelineError(f"prediction with {prediction.model!r} failed: {cause}; its log is {log}")
    return prediction.output


def from_config(model: str, config_path: str, output: str, result_path: str) -> Prediction:
    """A prepared prediction as a run's configuration names it."""
    return Prediction(model, Path(config_path), Path(output), Path(result_path))


def describe(prediction: Prediction) -> dict[str, Any]:
    """How much was found: the number of features by class."""
    features = json.loads(prediction.output.read_text())["features"]
    names = Counter(str(feature["properties"].get("label", "?")) for feature in features)
    return {"features": len(features), **{f"features/{name}": count for name, count in names.items()}}


def model_used(prediction: Prediction) -> str:
    """The model of a prediction with its exact version, as its configuration keeps it, in Markdown."""
    config = yaml.safe_load(prediction.config_path.read_text())
    item = config.get("item") or {}
    return f"- `{item.get('collection', '')}` **{config['model']}** (version {item.get('version', 'unknown')})"

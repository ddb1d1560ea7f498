"""One prediction: a session, the model's own ``predict``, a GeoJSON file. No ZenML run.

A ZenML run would cost ten seconds of start for two of work, and would store chips as artifacts. Runs inside
the runner process only.

See docs/decisions/0006.
"""

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from fair_dagster.domain.errors import PipelineError, ProblemsError, RefusedError
from fair_dagster.net.files import write_json
from fair_dagster.pipelines.entrypoints import load_entrypoint
from fair_dagster.pipelines.sessions import open_session
from fair_dagster.pipelines.zenml.run_records import describe_error
from fair_dagster.settings import Settings

_REQUIRED = ("entrypoint", "model_uri", "input_images", "output")


def predict(settings: Settings, config: Path) -> dict[str, Any]:
    """Run the prediction that ``config`` describes; returns ``{"features": <count>, "output": <path>}``.

    Args:
        config: YAML with ``entrypoint``, ``model_uri`` (local path or file URL of an ONNX file),
            ``input_images`` (local folder or file), ``output`` (GeoJSON to write), and optionally
            ``inference_params`` and ``threads``.

    Raises:
        RefusedError: the config is incomplete, or its entrypoint is not allowed.
        PipelineError: the model's code failed, or returned something else than a FeatureCollection.
        StorageError: the output cannot be written.
    """
    request = read_mapping(config)
    missing = [f"{key!r} is missing" for key in _REQUIRED if not request.get(key)]
    if missing:
        raise RefusedError(f"prediction config {config}", missing)
    function = load_entrypoint(str(request["entrypoint"]), settings.entrypoint_roots)
    session = open_session(_local_path(str(request["model_uri"])), int(request.get("threads") or 0))
    try:
        result = function(session, str(request["input_images"]), dict(request.get("inference_params") or {}))
    except ProblemsError:
        raise
    except Exception as error:
        raise PipelineError(f"{request['entrypoint']} failed with {describe_error(error)}") from error
    problems = collection_problems(result)
    if problems:
        raise PipelineError(f"{request['entrypoint']} did not return GeoJSON: {'; '.join(problems)}")
    output = Path(str(request["output"]))
    try:
        write_json(output, result)
    except (TypeError, ValueError) as error:
        raise PipelineError(f"{request['entrypoint']} returned what JSON cannot hold: {error}") from error
    return {"features": len(result["features"]), "output": str(output)}


def collection_problems(result: Any) -> list[str]:
    """Why ``result`` is no GeoJSON FeatureCollection (RFC 7946, 3.3); empty when it is one."""
    if not isinstance(result, dict):
        return [f"a {type(result).__name__} instead of a dict"]
    if result.get("type") != "FeatureCollection" or not isinstance(result.get("features"), list):
        return ["'type' must be 'FeatureCollection' and 'features' a list"]
    problems = []
    for index, feature in enumerate(result["features"]):
        if not isinstance(feature, dict) or feature.get("type") != "Feature" or "geometry" not in feature:
            problems.append(f"features[{index}] is no Feature with a geometry")
    return problems[:5]


def read_mapping(path: Path) -> dict[str, Any]:
    """The content of a YAML file that holds a mapping.

    Raises:
        RefusedError: it cannot be read, is no YAML, or holds something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RefusedError(str(path), [f"it cannot be read: {error.strerror}"]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RefusedError(str(path), [f"it is no valid YAML: {error}"]) from error
    if not isinstance(content, dict):
        raise RefusedError(str(path), ["it must hold a mapping"])
    return content


def _local_path(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if "://" in uri:
        raise PipelineError(f"{uri} is not on this machine: fetch the model before predicting")
    return Path(uri)

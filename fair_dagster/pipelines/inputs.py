"""Where a step reads its chips, labels and weights, on whichever machine it runs.

On a stack that runs steps here the system has fetched them before, and names local copies. On others a step is given
the addresses, and fetches by ``local_input``, which refuses what is not what the items say. What is fetched how stands
in ``storage``.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.artifacts import Told
from fair_dagster.domain.training_config import EXTRA, INPUTS
from fair_dagster.settings import Settings

HERE = "local"
"""The flavor of the orchestrator that runs the steps in the process that starts the training."""
ADDRESSES = ("base_model_weights", "dataset_chips", "dataset_labels")
"""Parameters of a training pipeline that name what it reads."""
INPUTS_VARIABLE = "FAIR_INPUTS"
"""What the items say of a run's inputs, as JSON: set by whoever starts steps on other machines."""
_FETCHING = ("artifacts", "artifacts_url", "s3_endpoint", "s3_region", "s3_path_style")
_LIMITS = ("fetch_max_bytes", "fetch_seconds", "fetch_private")


def local_input(location: str) -> Path:
    """A path of this machine with the file or folder behind ``location``: a path, or a ``file``, ``s3`` or web URL.

    Copies are kept under ``FAIR_HOME/cache``. Settings and credentials are those of this process.

    Raises:
        RefusedError: it is another URL, or what the items say was handed on damaged.
        StorageError: it cannot be fetched, or is not what its item says.
    """
    parts = urlsplit(location)
    if "://" not in location:
        return Path(location)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if parts.scheme not in ("s3", "https", "http"):
        raise RefusedError(f"input {location}", ["only paths, file://, s3:// and https:// are read here"])
    from fair_dagster.storage.cache import local_copy
    from fair_dagster.storage.opening import open_artifacts

    settings = Settings()
    return local_copy(settings, open_artifacts(settings), location, _told(location))


def _told(location: str) -> Told:
    try:
        return Told.of(json.loads(os.environ.get(INPUTS_VARIABLE) or "{}").get(location, {}))
    except (ValueError, AttributeError) as error:
        problem = "it is set for a run, and is no JSON object by address: leave it unset in images and pods"
        raise RefusedError(INPUTS_VARIABLE, [problem]) from error


def step_environment(settings: Settings, config: Mapping[str, Any] | None = None) -> dict[str, str]:
    """What ``local_input`` needs to know on another machine; credentials are the stack's to give.

    Args:
        config: the training configuration, whose inputs are verified by what it says of them.
    """
    names = {f"FAIR_{name.upper()}" for name in _FETCHING + _LIMITS}
    if "://" not in settings.artifacts:
        names -= {"FAIR_ARTIFACTS", "FAIR_ARTIFACTS_URL"}  # A folder of this machine.
    environment = {name: value for name, value in settings.environment().items() if name in names}
    inputs = (config or {}).get("extra", {}).get(EXTRA, {}).get(INPUTS)
    return environment | ({INPUTS_VARIABLE: json.dumps(inputs)} if inputs else {})


def require_reachable(config: Mapping[str, Any], stack: str) -> None:
    """Make sure that steps on other machines can read what ``config`` names.

    Raises:
        RefusedError: something lies on this machine only; all of it is named.
    """
    parameters = config.get("parameters") or {}
    named = {name: str(parameters[name]) for name in ADDRESSES if parameters.get(name)}
    problems = [
        f"{name} is {location}, a path of this machine, and stack {stack!r} runs steps on others: keep it in a bucket "
        "(FAIR_ARTIFACTS) or name it by s3:// or https://, or choose a local stack by `fair-dagster stack use`"
        for name, location in named.items()
        if urlsplit(location).scheme not in ("s3", "https", "http")
    ]
    if problems:
        raise RefusedError(f"training on stack {stack!r}", problems)

"""Turning an entrypoint string of an item into code. Used by the runner process only.

A STAC item can name any Python object; only those under allowed package roots are imported.
"""

import importlib
import importlib.util
import re
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from fair_dagster.domain.errors import PipelineError, RefusedError

MODELS_PACKAGE = "models"
_ENTRYPOINT = re.compile(r"^(?P<module>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z]\w*)$", re.ASCII)


def split_entrypoint(entrypoint: str) -> tuple[str, str]:
    """Module and attribute of ``models.ramp.pipeline:predict``.

    Raises:
        RefusedError: not of the form ``package.module:name``.
    """
    match = _ENTRYPOINT.fullmatch(entrypoint)
    if match is None:
        raise RefusedError("entrypoint", [f"{entrypoint!r} is not of the form 'package.module:name'"])
    return match["module"], match["name"]


def is_allowed(module: str, roots: Sequence[str]) -> bool:
    """Whether ``module`` lies under one of the package prefixes, with or without a final dot."""
    return module.startswith(tuple(root if root.endswith(".") else f"{root}." for root in roots))


def offer_models(folder: Path) -> None:
    """Make ``models.<name>`` come from ``folder``, whatever its own name and whatever else is on the path.

    The project's own ``models`` package would otherwise win over a folder that ``FAIR_MODELS`` names.
    """
    sys.path.insert(0, str(folder.parent))
    spec = ModuleSpec(MODELS_PACKAGE, None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    sys.modules[MODELS_PACKAGE] = importlib.util.module_from_spec(spec)


def load_entrypoint(entrypoint: str, roots: Sequence[str]) -> Any:
    """Import the module of ``entrypoint`` and return its attribute.

    Args:
        roots: package prefixes such as ``models.``; ``models`` never lets ``models_of_someone_else`` in.

    Raises:
        RefusedError: outside the roots, or malformed; nothing was imported.
        PipelineError: the module does not exist, fails on import, or lacks the attribute.
    """
    module_name, attribute = split_entrypoint(entrypoint)
    if not is_allowed(module_name, roots):
        raise RefusedError("entrypoint", [f"{entrypoint!r} is outside the allowed packages {', '.join(roots)}"])
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise PipelineError(
            f"{module_name} cannot be imported: {type(error).__name__}: {error}. "
            "Install what the pipeline needs, or run it in its own image"
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        raise PipelineError(f"{module_name} has no {attribute!r}") from error

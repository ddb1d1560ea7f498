"""Turning an entrypoint string of an item into code. Used by the runner process only.

A STAC item can name any Python object; only those under allowed package roots are imported.
"""

import importlib
import re
from collections.abc import Sequence
from typing import Any

from fair_dagster.domain.errors import PipelineError, RefusedError

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


def load_entrypoint(entrypoint: str, roots: Sequence[str]) -> Any:
    """Import the module of ``entrypoint`` and return its attribute.

    Args:
        roots: package prefixes such as ``models.``; a missing final dot is added, so that ``models`` never
            lets ``models_of_someone_else`` in.

    Raises:
        RefusedError: outside the roots, or malformed; nothing was imported.
        PipelineError: the module does not exist, fails on import, or lacks the attribute.
    """
    module_name, attribute = split_entrypoint(entrypoint)
    allowed = tuple(root if root.endswith(".") else f"{root}." for root in roots)
    if not module_name.startswith(allowed):
        raise RefusedError(
            "entrypoint", [f"{entrypoint!r} is outside the allowed packages {', '.join(allowed)}"]
        )
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

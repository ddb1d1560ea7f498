"""Importing a model folder where ZenML is not installed, to predict with it.

A prediction is no ZenML run, but the ``pipeline.py`` that holds ``predict`` imports ZenML for its training. Here
``step`` and ``pipeline`` return the function as it is, and every other name is a placeholder that can be imported,
subclassed and created, and does nothing. An installed ZenML is left alone. Only the runner process calls this.
"""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_PACKAGE = "zenml"


class _PlaceholderType(type):
    def __getattr__(cls, name: str) -> Any:
        """A member of an enumeration or a class: ``ArtifactType.MODEL``."""
        if name.startswith("__"):
            raise AttributeError(name)
        return Placeholder


class Placeholder(metaclass=_PlaceholderType):
    """Takes the place of a class, an instance or a constant of ZenML."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{name!r} needs ZenML, which is not installed: pip install 'fair-dagster[zenml]'")


def unchanged(function: Callable[..., Any] | None = None, **_: Any) -> Any:
    """The decorators ``step`` and ``pipeline``, with and without arguments."""
    return function if function is not None else unchanged


def nothing(*_: Any, **__: Any) -> None:
    """The functions that log to a run: outside of a step they have nothing to log to."""


_NAMES: dict[str, Any] = {
    "step": unchanged,
    "pipeline": unchanged,
    "log_metadata": nothing,
    "log_artifact_metadata": nothing,
    "log_model_metadata": nothing,
}


class _ZenmlFinder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _PACKAGE and not fullname.startswith(f"{_PACKAGE}."):
            return None
        return ModuleSpec(fullname, _ZenmlLoader(), is_package=True)


class _ZenmlLoader(Loader):
    def exec_module(self, module: ModuleType) -> None:
        def name_of(name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return _NAMES.get(name, Placeholder)

        module.__dict__["__getattr__"] = name_of


def allow_absent_zenml() -> bool:
    """Make ``import zenml`` work in this process; False when ZenML is installed and left alone."""
    if any(isinstance(finder, _ZenmlFinder) for finder in sys.meta_path):
        return True
    if importlib.util.find_spec(_PACKAGE) is not None:
        return False
    sys.meta_path.append(_ZenmlFinder())
    return True

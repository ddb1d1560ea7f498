"""Running folders that fAIr's contributors wrote against the package ``fair``, where it is not installed.

``install_fair_package`` offers the names that their pipelines import, implemented here. Only the runner
process calls it; an installed ``fair`` wins. Nothing of our own code imports from this package.
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_HERE = __name__
PROVIDED: dict[str, str | None] = {
    "fair": None,
    "fair.serve": None,
    "fair.serve.base": f"{_HERE}.serving",
    "fair.utils": None,
    "fair.utils.data": f"{_HERE}.data",
    "fair.zenml": None,
    "fair.zenml.instrumentation": f"{_HERE}.tracking",
    "fair.zenml.materializers": f"{_HERE}.materializers",
    "fair.zenml.metrics": f"{_HERE}.tracking",
    "fair.zenml.steps": f"{_HERE}.steps",
}
"""Module that contributors import, and ours that holds its names; None for a package without names."""


class _FairFinder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in PROVIDED:
            return None
        return ModuleSpec(fullname, _FairLoader(), is_package=PROVIDED[fullname] is None)


class _FairLoader(Loader):
    def exec_module(self, module: ModuleType) -> None:
        source = PROVIDED[module.__name__]
        if source is None:
            return
        ours = importlib.import_module(source)
        module.__doc__ = ours.__doc__
        module.__dict__.update({name: getattr(ours, name) for name in ours.__all__})


def install_fair_package() -> bool:
    """Make ``import fair…`` work in this process; False when a real ``fair`` is installed and left alone."""
    if any(isinstance(finder, _FairFinder) for finder in sys.meta_path):
        return True
    if importlib.util.find_spec("fair") is not None:
        return False
    sys.meta_path.append(_FairFinder())
    return True

"""fair-dagster: the registry and the pipelines behind finetuning open geospatial models.

The public names are loaded on first use, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fair_dagster.fair import Ask, DatasetSpec, Fair
    from fair_dagster.settings import Settings

__all__ = ["Ask", "DatasetSpec", "Fair", "Settings", "__version__"]
__version__ = "0.1.0"

_HOMES = {
    "Ask": "fair_dagster.fair",
    "DatasetSpec": "fair_dagster.fair",
    "Fair": "fair_dagster.fair",
    "Settings": "fair_dagster.settings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

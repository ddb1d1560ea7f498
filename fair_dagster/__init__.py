"""fair-dagster: the registry and the pipelines behind finetuning open geospatial models.

The public names are loaded on first use, so that importing the package costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fair_dagster.fair import Fair

__all__ = ["Fair", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Fair":
        from fair_dagster.fair import Fair

        return Fair
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""``Fair``: everything a user does, as one Python class; a module a concern, and what its methods return.

The name is loaded on first use, so that importing a module of this package costs nothing else.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fair_dagster.fair.facade import Fair

__all__ = ["Fair"]


def __getattr__(name: str) -> Any:
    if name != "Fair":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fair_dagster.fair.facade import Fair

    return Fair

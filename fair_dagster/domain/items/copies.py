"""Copies of STAC JSON. Items are copied at every step of a recompute, and ``copy.deepcopy`` was most of its time."""

from typing import TypeVar

T = TypeVar("T")
_NESTED = frozenset({dict, list})


def copy_item(value: T) -> T:
    """A copy of JSON that shares no dict or list with ``value``; whatever else stands in it is immutable."""
    kind = type(value)
    # Most values are texts and numbers: no call for those.
    if kind is dict:
        return {k: copy_item(v) if type(v) in _NESTED else v for k, v in value.items()}  # type: ignore[attr-defined,return-value]
    if kind is list:
        return [copy_item(v) if type(v) in _NESTED else v for v in value]  # type: ignore[attr-defined,return-value]
    return value

"""Copies of STAC JSON. Items are copied at every step of a recompute, and ``copy.deepcopy`` was most of its time."""

from typing import TypeVar

T = TypeVar("T")


def copied(value: T) -> T:
    """A copy of JSON that shares no dict or list with ``value``; whatever else stands in it is immutable."""
    if isinstance(value, dict):
        return {key: copied(inner) for key, inner in value.items()}  # type: ignore[return-value]
    if isinstance(value, list):
        return [copied(inner) for inner in value]  # type: ignore[return-value]
    return value

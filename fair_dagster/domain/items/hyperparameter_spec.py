"""Hyperparameters: what ``fair:hyperparameters_spec`` allows, and the values a run gets.

Overrides may be spelled with or without the ``training.``/``inference.`` prefix, as specs in the wild are.
"""

import difflib
import math
from collections.abc import Mapping
from typing import Any, TypeGuard

from fair_dagster.domain import items
from fair_dagster.domain.items.stac import Item

_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "imagery": (str,),
}


def spec_of(item: Item, phase: str) -> dict[str, dict[str, Any]]:
    """The spec entries of ``phase`` by plain key; an entry without prefix counts when the item has such a value."""
    known = items.hyperparameters(item, phase)
    other = items.INFERENCE if phase == items.TRAINING else items.TRAINING
    others = items.hyperparameters(item, other)
    found = {}
    for entry in item["properties"].get("fair:hyperparameters_spec", []):
        key = str(entry.get("key", ""))
        if key.startswith(f"{phase}."):
            found[key.removeprefix(f"{phase}.")] = entry
        elif "." not in key and (key in known or key not in others):
            found[key] = entry
    return found


def override_problems(item: Item, overrides: Mapping[str, Any], phase: str) -> list[str]:
    """Every reason why ``overrides`` do not fit the item's spec: unknown keys, wrong types, out of range."""
    spec = spec_of(item, phase)
    problems = []
    for name, value in overrides.items():
        key = name.removeprefix(f"{phase}.")
        if key in spec:
            problems += value_problems(f"hyperparameter {key!r}", value, spec[key])
            continue
        close = difflib.get_close_matches(key, spec, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(spec)) or 'none'}"
        problems.append(f"hyperparameter {name!r} is not in the spec of {item['id']!r}{hint}")
    return problems


def value_problems(subject: str, value: Any, entry: Mapping[str, Any]) -> list[str]:
    """Every reason why ``value`` does not fit a spec entry; an entry of an unknown type allows anything.

    ``subject`` names the value in the sentences.
    """
    declared = entry.get("type", "str")
    if not isinstance(declared, str) or declared not in _TYPES:
        return []
    if value is None and (entry.get("optional") or declared == "imagery"):
        return []
    if not isinstance(value, _TYPES[declared]) or (isinstance(value, bool) and declared != "bool"):
        return [f"{subject} must be {declared}, is {value!r:.60}"]
    problems = []
    if is_number(value):
        if not math.isfinite(value):
            problems.append(f"{subject} must be finite, is {value}")
        if is_number(low := entry.get("min")) and value < low:
            problems.append(f"{subject} must be at least {low}, is {value}")
        if is_number(high := entry.get("max")) and value > high:
            problems.append(f"{subject} must be at most {high}, is {value}")
    choices = entry.get("values")
    if isinstance(choices, list) and choices and value not in choices:
        problems.append(f"{subject} must be one of {', '.join(map(str, choices))}, is {value!r:.60}")
    return problems


def is_number(value: Any) -> TypeGuard[float]:
    """Whether ``value`` is an int or a float; a bool is neither here."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def resolve(item: Item, overrides: Mapping[str, Any], phase: str) -> dict[str, Any]:
    """Defaults of the item with ``overrides`` on top, keys without prefix. Check the overrides first."""
    values = items.hyperparameters(item, phase)
    spec = spec_of(item, phase)
    for name, value in overrides.items():
        key = name.removeprefix(f"{phase}.")
        is_float = spec.get(key, {}).get("type") == "float"
        values[key] = float(value) if is_float and isinstance(value, int) else value
    return values

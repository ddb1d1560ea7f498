"""Hyperparameters: what ``fair:hyperparameters_spec`` allows, and the values a run gets.

Overrides may be spelled with or without the ``training.``/``inference.`` prefix, as specs in the wild are.
"""

import difflib
from collections.abc import Mapping
from typing import Any

from fair_dagster.domain import items
from fair_dagster.domain.changes import Item

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
            problems += _value_problems(key, value, spec[key])
            continue
        close = difflib.get_close_matches(key, spec, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(spec)) or 'none'}"
        problems.append(f"hyperparameter {name!r} is not in the spec of {item['id']!r}{hint}")
    return problems


def _value_problems(key: str, value: Any, entry: Mapping[str, Any]) -> list[str]:
    declared = str(entry.get("type", "str"))
    allowed = _TYPES.get(declared, (str,))
    if not isinstance(value, allowed) or (isinstance(value, bool) and declared != "bool"):
        return [f"hyperparameter {key!r} must be {declared}, got {value!r} ({type(value).__name__})"]
    problems = []
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value != value:  # noqa: PLR0124 - only NaN differs from itself
            problems.append(f"hyperparameter {key!r} must be a number, got NaN")
        if "min" in entry and value < entry["min"]:
            problems.append(f"hyperparameter {key!r} must be at least {entry['min']}, got {value}")
        if "max" in entry and value > entry["max"]:
            problems.append(f"hyperparameter {key!r} must be at most {entry['max']}, got {value}")
    if entry.get("values") and value not in entry["values"]:
        choices = ", ".join(map(str, entry["values"]))
        problems.append(f"hyperparameter {key!r} must be one of {choices}, got {value!r}")
    return problems


def resolve(item: Item, overrides: Mapping[str, Any], phase: str) -> dict[str, Any]:
    """Defaults of the item with ``overrides`` on top, keys without prefix. Check the overrides first."""
    values = items.hyperparameters(item, phase)
    spec = spec_of(item, phase)
    for name, value in overrides.items():
        key = name.removeprefix(f"{phase}.")
        is_float = spec.get(key, {}).get("type") == "float"
        values[key] = float(value) if is_float and isinstance(value, int) else value
    return values

"""Schema errors as sentences for people: one line each, where and what, without the whole instance. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jsonschema.exceptions import ValidationError

_LONGEST = 60
_COMBINING = frozenset({"anyOf", "oneOf"})
_EXPLAINED = frozenset({"pattern", "maxLength", "type"})


def lines_of(errors: Iterable[ValidationError]) -> list[str]:
    """One line a problem, e.g. ``properties.mlm:input[0]: 'name' is missing``, each once, sorted."""
    found = {line: None for error in errors for leaf in _leaves(error) for line in [_line(leaf)]}
    return sorted(found)


def _leaves(error: ValidationError) -> list[ValidationError]:
    """The errors at the bottom of an ``anyOf`` or ``oneOf``: those of the nearest branch."""
    if error.validator not in _COMBINING or _message(error) or not error.context:
        return [error]
    branches: dict[Any, list[ValidationError]] = {}
    for child in error.context:
        branches.setdefault(child.schema_path[0], []).append(child)
    # A branch for another kind of object (a collection, an item) says nothing about this one.
    meant = [b for b in branches.values() if not any(_is_other_kind(child) for child in b)]
    # The deeper a branch got before it failed, the more of the instance fits it.
    nearest = min(meant or list(branches.values()), key=lambda b: (-_depth(b), len(b)))
    return [leaf for child in nearest for leaf in _leaves(child)]


def _depth(branch: list[ValidationError]) -> int:
    return max(len(leaf.absolute_path) for child in branch for leaf in _leaves(child))


def _message(error: ValidationError) -> str | None:
    """What our schemas say in plain words beside a keyword whose own error would tell little."""
    found = error.schema.get("message") if isinstance(error.schema, Mapping) else None
    return found if isinstance(found, str) else None


def _is_other_kind(error: ValidationError) -> bool:
    return list(error.absolute_path) == ["type"] and error.validator in {"const", "enum"}


def _line(error: ValidationError) -> str:
    where = _where(list(error.absolute_path))
    return f"{where}: {_what(error)}" if where else _what(error)


def _where(path: Sequence[str | int]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _what(error: ValidationError) -> str:
    value = short(error.instance)
    wanted: Any = error.validator_value
    message = _message(error)
    texts = {
        # The library raises one error a name and tells which only in its message.
        "required": error.message.replace(" is a required property", " is missing"),
        "enum": f"must be one of {_joined(wanted, ', ')}, is {value}",
        "const": f"must be {wanted}, is {value}",
        "type": f"must be of type {_joined(wanted, ' or ')}, is {value}",
    }
    keyword = str(error.validator)
    if message and keyword in _COMBINING:
        text = message
    elif message and keyword in _EXPLAINED:
        text = f"{message}, is {value}"
    elif keyword in {"minLength", "minItems"} and wanted == 1:
        text = "must not be empty"
    elif keyword in {*_COMBINING, "not"}:
        text = f"is not valid: {value}"
    else:
        text = texts.get(keyword) or error.message.replace(repr(error.instance), value)
    return text


def _joined(wanted: Any, separator: str) -> str:
    return separator.join(map(str, wanted)) if isinstance(wanted, list) else str(wanted)


def short(value: Any) -> str:
    """``repr`` of ``value``, cut off where it gets long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"

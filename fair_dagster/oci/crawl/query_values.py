"""What a condition is for one document whose fields may be missing, or of another kind than somebody expects. Pure.

A comparison with what is not there is neither true nor false, as in SQL. How conditions are written stands in
``query``.

See docs/decisions/0055.
"""

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

Document = Mapping[str, Any]

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
SUMS: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def find(document: Document, field: str) -> Any:
    """The value of a field; None where it is missing. Dots lead into objects, whose own keys may hold dots, too."""
    if field in document:
        return document[field]
    parts = field.split(".")
    for split in range(1, len(parts)):
        inner = document.get(".".join(parts[:split]))
        if isinstance(inner, Mapping):
            found = find(inner, ".".join(parts[split:]))
            if found is not None:
                return found
    return None


def rank(value: Any) -> tuple[int, Any]:
    """By which kinds of values are put in order: numbers, text, anything else, nothing."""
    number = _number(value)
    if number is not None:
        return 0, number
    if isinstance(value, str):
        return 1, value
    return (2, str(value)) if value is not None else (3, "")


def evaluate(expression: Any, document: Document) -> Any:
    """What an expression is for a document; None is unknown.

    Args:
        expression: CQL2 as JSON, of operators that are known here.
    """
    if isinstance(expression, list):
        return [evaluate(one, document) for one in expression]
    if not isinstance(expression, Mapping):
        return expression
    if "property" in expression:
        return find(document, expression["property"])
    if "op" in expression:
        return _operated(expression["op"], expression["args"], document)
    return _moment(expression.get("timestamp", expression.get("date")))


def _operated(name: str, arguments: Sequence[Any], document: Document) -> Any:
    if name in {"and", "or"}:
        # The rest need not be looked at when one decides.
        return _joined(name == "or", (evaluate(one, document) for one in arguments))
    values = [evaluate(one, document) for one in arguments]
    if name == "isNull":
        return values[0] is None
    if values[0] is None:
        return None
    if name in COMPARISONS:
        return _compared(name, *values)
    return _sum(name, *values) if name in SUMS else _NAMED[name](*values)


def _not(value: Any) -> bool | None:
    return not value if isinstance(value, bool) else None


def _like(value: Any, pattern: Any) -> bool | None:
    if not isinstance(value, str) or not isinstance(pattern, str):
        return None
    return _pattern(pattern).fullmatch(value) is not None


def _between(value: Any, low: Any, high: Any) -> bool | None:
    return _joined(False, (_compared(">=", value, low), _compared("<=", value, high)))


def _in(value: Any, among: Sequence[Any]) -> bool | None:
    return _joined(True, (_compared("=", value, one) for one in among))


def _folded(value: Any) -> str | None:
    return value.casefold() if isinstance(value, str) else None


def _joined(on: bool, values: Iterable[Any]) -> bool | None:
    """OR where ``on``, else AND: decided by one value of that kind, unknown where one is unknown."""
    is_unknown = False
    for value in values:
        if value is on:
            return bool(on)
        is_unknown = is_unknown or not isinstance(value, bool)
    return None if is_unknown else not on


def _compared(name: str, first: Any, second: Any) -> bool | None:
    if first is None or second is None:
        return None
    for pair in _pairs(first, second):
        if None not in pair:
            return bool(COMPARISONS[name](*pair))
    # Two lists, or two objects.
    return bool(first == second) if name == "=" and type(first) is type(second) else None


def _pairs(first: Any, second: Any) -> Iterator[tuple[Any, Any]]:
    """The two values as things that can be compared, where they can be."""
    yield _truth(first), _truth(second)
    if isinstance(first, datetime) or isinstance(second, datetime):
        yield _moment(first), _moment(second)
    yield _text(first), _text(second)
    yield _number(first), _number(second)


def _sum(name: str, first: Any, second: Any) -> float | None:
    pair = _number(first), _number(second)
    if pair[0] is None or pair[1] is None:
        return None
    try:
        return SUMS[name](pair[0], pair[1])
    except (ZeroDivisionError, OverflowError):
        return None


def _contains(first: Any, second: Any) -> bool | None:
    if not isinstance(first, list) or not isinstance(second, list):
        return None
    return all(any(_compared("=", one, wanted) for one in first) for wanted in second)


def _truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    """A number; text that reads as one is one: annotations hold nothing but text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if found == found and abs(found) != float("inf") else None  # noqa: PLR0124 - NaN differs from itself


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


@lru_cache(maxsize=16)
def _pattern(text: str) -> re.Pattern[str]:
    first, *rest = (
        "".join("." if character == "_" else re.escape(character) for character in part) for part in text.split("%")
    )
    # What has once matched is not tried again further on: without that, time doubles with a few more characters.
    between = "".join(f"(?>.*?{part})" for part in rest[:-1] if part)
    return re.compile(first + between + "".join(f".*{part}" for part in rest[-1:]), re.DOTALL)


_NAMED: Mapping[str, Callable[..., Any]] = {
    "not": _not,
    "like": _like,
    "between": _between,
    "in": _in,
    "casei": _folded,
    "a_contains": _contains,
}

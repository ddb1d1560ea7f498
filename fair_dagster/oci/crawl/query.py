"""Questions about what was found in registries: a condition in CQL2, the language of STAC's searches, and an order.

Pure. The text is read by ``cql2``. What it means for a document stands in ``query_values``; where documents come from,
in ``crawl``.

See docs/decisions/0041.
"""

import heapq
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from fair_dagster.domain.errors import RefusedError
from fair_dagster.oci.crawl.query_values import COMPARISONS, SUMS, Document, evaluate, find, rank

T = TypeVar("T")

_LONGEST = 4000
_DEEPEST = 50
_OTHERS = ("and", "or", "not", "like", "in", "between", "isNull", "casei", "a_contains")
_KNOWN = frozenset({*COMPARISONS, *SUMS, *_OTHERS})
_MEANT = {"==": "=", "!=": "<>", "&&": "AND", "||": "OR"}


@dataclass(frozen=True)
class Condition:
    """What a document has to fulfil.

    Attributes:
        fields: the fields that it asks for.
    """

    expression: Any
    fields: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a condition, like ``customProperties.accuracy > 0.9 AND name LIKE 'ramp%'``.

        Raises:
            RefusedError: it is none, or asks for something that is not known here.
        """
        subject = f"filter {text[:200]!r}"
        if len(text) > _LONGEST or _depth(text) > _DEEPEST:
            raise RefusedError(subject, [f"it is longer than {_LONGEST} characters or nested deeper than {_DEEPEST}"])
        import cql2

        try:
            expression = cql2.Expr(text).to_json()
        except Exception as error:  # cql2 raises nothing more particular.
            raise RefusedError(subject, _hints(text) or [_first_line(error)]) from error
        fields: dict[str, None] = {}
        problems = list(dict.fromkeys(_problems(expression, fields)))
        if not problems and not _is_condition(expression):
            problems = ["it is a value and no condition: compare it with something"]
        if problems:
            raise RefusedError(subject, problems)
        return cls(expression, tuple(fields))

    def fits(self, document: Document) -> bool:
        """Whether ``document`` fulfils it. What cannot be compared does not."""
        return evaluate(self.expression, document) is True


@dataclass(frozen=True)
class Order:
    """Fields by which documents are put in order, the first counts most; those without a field come last."""

    fields: tuple[tuple[str, bool], ...]

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Self:
        """Read ``name`` for ascending order, ``-customProperties.accuracy`` for descending."""
        if empty := [text for text in texts if not text.removeprefix("-").strip()]:
            raise RefusedError(f"order {empty[0]!r}", ["it names no field"])
        return cls(tuple((text.removeprefix("-").strip(), text.startswith("-")) for text in texts))

    def first(self, items: Iterable[T], limit: int | None, fields: Callable[[T], Document]) -> list[T]:
        """The first ``limit`` items, all without; no more than so many are held at once.

        Args:
            fields: gives the document of an item.
        """

        def key(item: T) -> tuple[Any, ...]:
            return self._key(fields(item))

        return sorted(items, key=key) if limit is None else heapq.nsmallest(limit, items, key=key)

    def _key(self, document: Document) -> tuple[Any, ...]:
        keys: list[Any] = []
        for field, is_descending in self.fields:
            place, value = rank(find(document, field))
            keys += [place, _Descending(value) if is_descending else value]
        # Equal ones come in the same order whenever they are asked for.
        return (*keys, str(document.get("reference", "")))


class _Descending:
    def __init__(self, value: Any) -> None:
        self._value = value

    def __lt__(self, other: "_Descending") -> bool:
        return bool(other._value < self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and bool(self._value == other._value)

    __hash__ = None  # type: ignore[assignment]


def _problems(expression: Any, fields: dict[str, None], depth: int = 0) -> Iterable[str]:
    if depth > _DEEPEST:
        yield f"it is nested deeper than {_DEEPEST}"
    elif isinstance(expression, list):
        for one in expression:
            yield from _problems(one, fields, depth + 1)
    elif isinstance(expression, Mapping) and "property" in expression:
        fields[expression["property"]] = None
    elif isinstance(expression, Mapping) and "op" in expression:
        if expression["op"] not in _KNOWN:
            yield f"{expression['op']!r} is not known here; known are {', '.join(sorted(_KNOWN))}"
        yield from _problems(expression["args"], fields, depth + 1)
    elif isinstance(expression, Mapping) and not expression.keys() & {"timestamp", "date"}:
        yield "metadata of models has no places: geometries cannot be asked for"


def _is_condition(expression: Any) -> bool:
    return isinstance(expression, bool) or (
        isinstance(expression, Mapping) and expression.get("op") in _KNOWN - SUMS.keys() - {"casei"}
    )


def _depth(text: str) -> int:
    """How deep a text leads the parser, which knows no limit: parentheses, and what stands before a term."""
    deepest = depth = 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        deepest = max(deepest, depth)
    chains = re.findall(r"(?:(?:\bnot\b|[-(])\s*)+", text, re.IGNORECASE)
    return max([deepest, *(len(re.findall(r"\bnot\b|[-(]", chain, re.IGNORECASE)) for chain in chains)])


def _hints(text: str) -> list[str]:
    return [f"write {right} for {wrong}" for wrong, right in _MEANT.items() if wrong in text]


def _first_line(error: Exception) -> str:
    """Where the parser has stopped, in one line. What it would have taken is of no help to people."""
    place = re.search(r"--> \d+:(\d+)", str(error))
    where = f"it cannot be understood from character {place[1]} on" if place else "it cannot be understood"
    return f"{where}; a condition is like customProperties.accuracy > 0.9 AND name LIKE 'ramp%'"

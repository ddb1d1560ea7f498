"""Values in tables and lists: as people read them (``cell``) and as programs do (``exact``). Pure."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SEPARATOR = re.compile(r"[\t\n\x85\u2028\u2029]+")


@dataclass(frozen=True)
class Size:
    """Bytes: ``1.2 MB`` for people, the number for programs."""

    count: int


@dataclass(frozen=True)
class Seconds:
    """A duration: ``3 min 05 s`` for people, seconds for programs; nothing for None."""

    count: float | None


@dataclass(frozen=True)
class Recent:
    """A moment of which people want only the time when it is of the day of ``now``."""

    moment: datetime | None
    now: datetime


@dataclass(frozen=True)
class Short:
    """An identifier of which people need the first ``length`` characters, and programs all."""

    text: str
    length: int


@dataclass(frozen=True)
class Few:
    """Named values of which people see the first ``shown`` and how many more there are, and programs all."""

    values: Mapping[str, Any]
    shown: int


def cell(value: Any) -> str:  # noqa: PLR0911 - a line a type
    """A value as people read it: numbers with four digits, yes and no, lists with commas, nothing for None."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return _number(value)
        case datetime():
            return clock(value)[:-3]
        case Size():
            return size_text(value.count)
        case Seconds():
            return duration(value.count)
        case Recent():
            return _time_or_date(value)
        case Short():
            return cell(value.text[: value.length])
        case Few():
            return _few(value)
        case Mapping():
            return ", ".join(f"{name}={cell(item)}" for name, item in value.items())
        case list() | tuple() | set() | frozenset():
            return ", ".join(cell(item) for item in value)
    # What a stranger has written must not move the cursor.
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(value))


def exact(value: Any) -> str:  # noqa: PLR0911 - a line a type
    """A value in one field of a tab-separated row: every digit, moments in ISO 8601 (UTC), bytes, seconds."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return "" if math.isnan(value) else repr(value)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Size() | Seconds():
            return exact(value.count)
        case Recent():
            return exact(value.moment)
        case Short():
            return exact(value.text)
        case Few():
            return exact(value.values)
        case Mapping():
            return ",".join(f"{name}={exact(item)}" for name, item in value.items())
        case list() | tuple() | set() | frozenset():
            return ",".join(exact(item) for item in value)
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", _SEPARATOR.sub(" ", str(value)))


def is_moment(value: Any) -> bool:
    return isinstance(value, datetime | Recent)


def clock(moment: datetime) -> str:
    """Date and time in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float | None) -> str:
    """``4.2 s``, ``3 min 05 s``, ``2 h 07 min``; nothing for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def position_text(position: tuple[int, int, str] | None) -> str:
    """``epoch 3/10``, of done, total and what; nothing before the first step of a run."""
    return "" if position is None else f"{position[2]} {position[0]}/{position[1]}"


def size_text(size: int) -> str:
    """Bytes as people read them."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1000
    raise AssertionError("the last unit returns")


def _few(value: Few) -> str:
    first = [f"{name} {cell(item)}" for name, item in islice(value.values.items(), value.shown)]
    more = len(value.values) - len(first)
    return ", ".join([*first, f"+{more}"] if more else first)


def _time_or_date(value: Recent) -> str:
    if value.moment is None:
        return ""
    text = clock(value.moment)
    is_today = value.moment.astimezone(UTC).date() == value.now.astimezone(UTC).date()
    return text.partition(" ")[2] if is_today else text


def _number(value: float) -> str:
    if math.isnan(value):
        return ""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.4g}"

"""Values that people type: ``key=value``, moments and durations."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import click

_EXPONENT = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+")
_DURATION = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?)(?P<unit>[smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def scalar(text: str) -> Any:
    """What ``text`` means in YAML: a number, true, false, null, a list in brackets; otherwise the text as it is.

    Where YAML 1.1 surprises, the text wins: dates, times of day, comments and ``a: b`` stay text, while ``1e-3``
    becomes the number that was meant.
    """
    import yaml

    if _EXPONENT.fullmatch(text.strip()):
        return float(text)
    try:
        value = yaml.safe_load(text) if text else text
    except (yaml.YAMLError, ValueError):
        # ValueError: what looks like a date and is none, e.g. 2026-13-45.
        return text
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_quoted = text[:1] in {'"', "'"}
    stays_text = (
        isinstance(value, date)
        or (is_number and ":" in text)
        or (isinstance(value, str) and not is_quoted)
        or (isinstance(value, dict) and not text.startswith("{"))
        or (isinstance(value, list) and not text.startswith("["))
    )
    return text if stays_text else value


def set_option(help_text: str) -> Callable[[Decorated], Decorated]:
    """``--set key=value``, any number of times; the command gets ``overrides``, a dict of scalars."""
    return click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=_pairs, help=help_text)


def since_option(help_text: str) -> Callable[[Decorated], Decorated]:
    """``--since``; the command gets an aware datetime or None."""
    return click.option("--since", metavar="10m|2h|ISO-TIME", callback=_since, help=help_text)


def _pairs(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        key = name.strip()
        if not equals or not key:
            raise click.BadParameter(f"{text!r} is not of the form key=value")
        if key in values:
            raise click.BadParameter(f"{key} was given twice")
        values[key] = scalar(value)
    return values


def _since(_context: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    return None if text is None else moment(text, now=datetime.now(UTC))


def moment(text: str, now: datetime) -> datetime:
    """How long before ``now`` (``30s``, ``10m``, ``2h``, ``1d``), or an ISO time, in UTC where it names no zone.

    Raises:
        click.BadParameter: it is neither.
    """
    try:
        if match := _DURATION.fullmatch(text):
            return now - timedelta(**{_UNITS[match["unit"]]: float(match["number"])})
        read = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        problem = f"{text!r} is neither a duration like 10m nor an ISO time like 2026-05-01T12:00"
        raise click.BadParameter(problem) from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)

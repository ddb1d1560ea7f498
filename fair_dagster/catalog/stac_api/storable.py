"""What a pgstac cannot hold, told before anything is written. Pure."""

from datetime import UTC, datetime
from typing import Any

import orjson

from fair_dagster.domain.items.stac import Item


def unstorable(item: Item) -> list[str]:
    """Why pgstac cannot hold ``item``; empty where it can."""
    return [*_content_problems(item), *_time_problems(item["properties"])]


def unstorable_document(document: dict[str, Any]) -> list[str]:
    """Why a pgstac cannot hold a collection document; empty where it can."""
    return [*_nul_problems(document), *_link_problems(document)]


def _content_problems(item: Item) -> list[str]:
    problems = []
    if item.get("geometry") is None:
        problems.append("it has no geometry, and pgstac needs one")
    if reserved := sorted({"private", "pgstac:base_item"} & item.keys()):
        problems.append(f"pgstac keeps the field {', '.join(reserved)} for itself")
    return [*problems, *_nul_problems(item), *_link_problems(item)]


def _nul_problems(document: dict[str, Any]) -> list[str]:
    # Found in the text of the whole first, because hardly ever there is one.
    if b"\\u0000" in orjson.dumps(document) and _has_nul(document):
        return ["a text in it holds the character U+0000, which PostgreSQL cannot hold"]
    return []


def _link_problems(document: dict[str, Any]) -> list[str]:
    relative = [str(link["href"]) for link in document.get("links", []) if _is_relative(str(link["href"]))]
    if relative:
        return [
            f"its links to {', '.join(relative)} are relative, and nobody knows to what in an API: give whole addresses"
        ]
    return []


def _time_problems(properties: dict[str, Any]) -> list[str]:
    start, end = properties.get("start_datetime"), properties.get("end_datetime")
    names = ["start_datetime", "end_datetime"] if start is not None and end is not None else ["datetime"]
    times = [_time(properties.get(name)) for name in names]
    if missing := [name for name, time in zip(names, times, strict=True) if time is None]:
        return [f"its {name} is {properties.get(name)!r}, and pgstac needs a time" for name in missing]
    first, *rest = [time for time in times if time is not None]
    return ["its start_datetime is after its end_datetime"] if rest and first > rest[0] else []


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any("\0" in name or _has_nul(member) for name, member in value.items())
    if isinstance(value, list):
        return any(map(_has_nul, value))
    return isinstance(value, str) and "\0" in value


def _is_relative(href: str) -> bool:
    return ":" not in href.partition("/")[0] and not href.startswith("/")


def _time(value: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return time.replace(tzinfo=time.tzinfo or UTC) if time else None

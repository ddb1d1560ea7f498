"""What a database or a STAC API does not keep of an item, kept beside it, so that an item comes back as it was written.

pgstac drops members that are null, and APIs write times in a spelling of their own and drop what STAC does not define
beside ``properties``. All of it means the same to every client, but a field that does not come back would be a
difference for ever. The stored item tells of such places in the property ``fair:as_written``, by JSON pointer (RFC
6901). Who changes a stored item by other means changes it: only what still means the same is restored.

Pure. Links and hrefs are the business of ``stac_layout``.

See docs/decisions/0021.
"""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson

from fair_dagster.domain.items.stac import Item

AS_WRITTEN = "fair:as_written"
_MEMBERS = frozenset(
    {"type", "stac_version", "stac_extensions", "id", "collection", "geometry", "bbox", "properties", "assets", "links"}
)
_TIMES = ("datetime", "start_datetime", "end_datetime", "created", "updated")


def with_spellings(item: Item) -> Item:
    """``item`` with a note of what would not come back as it is; ``item`` itself where all of it would."""
    properties = item["properties"]
    # As a list: a note that is null would be dropped as well.
    noted = {
        "nulls": [_pointer(path) for path in _nulls(item, ())],
        "times": {name: properties[name] for name in _TIMES if _is_respelled(properties.get(name))},
        "members": {name: value for name, value in item.items() if name not in _MEMBERS and value is not None},
    }
    found = {name: value for name, value in noted.items() if value}
    return item | {"properties": properties | {AS_WRITTEN: found}} if found else item


def restore_spellings(item: Item) -> None:
    """Undo ``with_spellings`` in place. What has been changed since, or is no note of ours, is left as it is."""
    properties = item["properties"]
    noted = properties.pop(AS_WRITTEN, None)
    if not isinstance(noted, dict):
        return
    for name, value in _object(noted, "members").items():
        item.setdefault(name, value)
    nulls = noted.get("nulls")
    for pointer in nulls if isinstance(nulls, list) else ():
        *path, name = _path(pointer)
        parent = _at(item, path)
        if isinstance(parent, dict):
            parent.setdefault(name, None)
    for name, text in _object(noted, "times").items():
        if _is_same_time(properties.get(name), text):
            properties[name] = text


def _object(noted: dict[str, Any], name: str) -> dict[str, Any]:
    found = noted.get(name)
    return found if isinstance(found, dict) else {}


def _nulls(value: Any, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Where members of objects are null. Nulls in lists are kept by everybody."""
    found: list[tuple[str, ...]] = []
    _note_nulls(value, path, found)
    return found


def _note_nulls(value: Any, path: tuple[str, ...], found: list[tuple[str, ...]]) -> None:
    # Most parts of an item have none, and the text of a part tells so in a tenth of the time that a walk takes.
    if not _tells_null(value):
        return
    for name, member in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(member, dict | list):
            _note_nulls(member, (*path, str(name)), found)
        elif member is None and isinstance(value, dict):
            found.append((*path, str(name)))


def _tells_null(value: Any) -> bool:
    try:
        return b"null" in orjson.dumps(value)
    except orjson.JSONEncodeError:
        # No JSON, which others say by name.
        return True


def _is_respelled(text: object) -> bool:
    time = _time(text)
    return time is not None and time.astimezone(UTC).isoformat().replace("+00:00", "Z") != text


def _is_same_time(found: object, noted: object) -> bool:
    time = _time(found)
    return time is not None and time == _time(noted)


def _time(text: object) -> datetime | None:
    with suppress(ValueError):
        if isinstance(text, str):
            time = datetime.fromisoformat(text)
            return time if time.tzinfo else None
    return None


def _pointer(path: tuple[str, ...]) -> str:
    return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in path)


def _path(pointer: object) -> list[str]:
    parts = str(pointer).split("/")[1:]
    return [part.replace("~1", "/").replace("~0", "~") for part in parts] or [""]


def _at(document: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(document, dict):
            document = document.get(part)
        elif isinstance(document, list) and part.isdecimal() and int(part) < len(document):
            document = document[int(part)]
        else:
            return None
    return document

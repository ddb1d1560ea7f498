"""From when to when items reach, collection by collection: what the partitions of a pgstac have to admit. Pure."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from fair_dagster.domain.items.stac import Item

Bounds = tuple[datetime, datetime, datetime, datetime]
"""The first and the last start of items, the first and the last end of them."""


class Spans:
    """The spans of items that are going to be written.

    Kept by month, the smallest partition that pgstac makes: items of one partition then share a span, and items of two
    have two.
    """

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._bounds: dict[tuple[str, int, int], Bounds] = {}
        for item in items:
            self.add(item)

    def add(self, item: Item) -> None:
        """Take ``item`` in. One without a readable time is passed over: the database refuses it by name."""
        times = times_of(item["properties"])
        if times is None:
            return
        start, end = times
        key = (str(item["collection"]), start.year, start.month)
        first, last, first_end, last_end = self._bounds.get(key, (start, start, end, end))
        self._bounds[key] = (min(first, start), max(last, start), min(first_end, end), max(last_end, end))

    def rows(self) -> list[dict[str, str]]:
        """A row a span, with times as PostgreSQL reads them."""
        names = ("first", "last", "first_end", "last_end")
        return [
            {"collection": collection} | {name: time.isoformat() for name, time in zip(names, bounds, strict=True)}
            for (collection, _, _), bounds in sorted(self._bounds.items())
        ]


def times_of(properties: Mapping[str, object]) -> tuple[datetime, datetime] | None:
    """Start and end in UTC, as pgstac finds them: a whole interval goes before ``datetime``. None where they cannot be
    read; a time without an offset is one in UTC.
    """
    start, end = properties.get("start_datetime"), properties.get("end_datetime")
    if start is None or end is None:
        start = end = properties.get("datetime")
    found = _time(start), _time(end)
    return (found[0], found[1]) if found[0] is not None and found[1] is not None else None


def _time(text: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
        return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC) if time else None
    except (ValueError, OverflowError):
        return None

"""From when to when items reach: what pgstac is asked to make room for."""

from typing import Any

from fair_dagster.catalog.pgstac.spans import Spans
from tests.catalog.sets import item


def rows(*properties: dict[str, Any]) -> list[dict[str, str]]:
    return Spans(item("town", n + 1, **each) for n, each in enumerate(properties)).rows()


def test_items_of_a_month_share_a_span() -> None:
    times = ("2026-01-05T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-31T23:59:59Z", "2026-02-01T00:00:00Z")
    first, second = rows(*({"datetime": time} for time in times))
    assert (first["first"], first["last"]) == ("2026-01-01T00:00:00+00:00", "2026-01-31T23:59:59+00:00")
    assert first["last_end"] == first["last"]
    assert second["first"] == second["last"] == "2026-02-01T00:00:00+00:00"


def test_months_are_those_of_utc() -> None:
    (span,) = rows({"datetime": "2026-01-31T20:00:00-05:00"}, {"datetime": "2026-02-01T01:00:00"})
    assert (span["first"], span["last"]) == ("2026-02-01T01:00:00+00:00",) * 2


def test_a_whole_interval_goes_before_the_datetime() -> None:
    whole = {"start_datetime": "2020-01-01T00:00:00Z", "end_datetime": "2021-01-01T00:00:00Z"}
    (span,) = rows(whole)
    assert (span["first"], span["last_end"]) == ("2020-01-01T00:00:00+00:00", "2021-01-01T00:00:00+00:00")
    (span,) = rows(whole | {"end_datetime": None})
    assert span["first"] == "2026-01-01T00:00:00+00:00"


def test_what_cannot_be_read_is_left_to_the_database() -> None:
    unreadable = [{"datetime": time} for time in (None, "soon", 7, "0001-01-01T00:00:00+14:00")]
    assert rows(*unreadable) == []

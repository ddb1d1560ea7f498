"""Values as people and as programs read them."""

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from fair_dagster.cli.terminal.cells import Few, Recent, Seconds, Short, Size, cell, exact

NOON = datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC)
KATHMANDU = timezone(timedelta(hours=5, minutes=45))


@pytest.mark.parametrize(
    ("value", "people", "programs"),
    [
        (None, "", ""),
        (True, "yes", "true"),
        (0.123456789, "0.1235", "0.123456789"),
        (math.nan, "", ""),
        (10000.0, "10000", "10000.0"),
        (["a", 1], "a, 1", "a,1"),
        ({"b": 0.123456}, "b=0.1235", "b=0.123456"),
        (NOON, "2026-05-01 12:00", "2026-05-01T12:00:30Z"),
        (NOON.astimezone(KATHMANDU), "2026-05-01 12:00", "2026-05-01T12:00:30Z"),
        (Recent(NOON, NOON + timedelta(hours=1)), "12:00:30", "2026-05-01T12:00:30Z"),
        (Recent(NOON, NOON + timedelta(days=1)), "2026-05-01 12:00:30", "2026-05-01T12:00:30Z"),
        (Recent(None, NOON), "", ""),
        (Size(1_234_567), "1.23 MB", "1234567"),
        (Seconds(185.25), "3 min 05 s", "185.25"),
        (Seconds(None), "", ""),
        (Short("sha256:0123456789", 10), "sha256:012", "sha256:0123456789"),
        (Few({"a": 0.5, "b": 1.0, "c": 2.0}, 2), "a 0.5, b 1, +1", "a=0.5,b=1.0,c=2.0"),
        (Few({"a": 0.5}, 2), "a 0.5", "a=0.5"),
        ("a\x1b[31mb", "a\N{REPLACEMENT CHARACTER}[31mb", "a\N{REPLACEMENT CHARACTER}[31mb"),
    ],
)
def test_a_value_has_a_form_for_people_and_one_for_programs(value: Any, people: str, programs: str) -> None:
    assert (cell(value), exact(value)) == (people, programs)


@pytest.mark.parametrize("separator", ["\t", "\n", "\r\n", "\u2028", "\x85"])
def test_no_field_contains_what_separates_fields_or_rows(separator: str) -> None:
    assert len(exact(f"a{separator}b").splitlines()) == 1
    assert "\t" not in exact(f"a{separator}b")

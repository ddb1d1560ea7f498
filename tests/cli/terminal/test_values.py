"""Values that people type."""

from datetime import UTC, datetime, timedelta, timezone

import click
import pytest

from fair_dagster.cli.terminal.values import moment, scalar

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("0.1", 0.1),
        ("1e-3", 0.001),
        ("-2E5", -200000.0),
        ("true", True),
        ("null", None),
        ("adam", "adam"),
        ('"5"', "5"),
        ("[1, 2]", [1, 2]),
        ('{"a": 1}', {"a": 1}),
        ("", ""),
    ],
)
def test_a_value_is_read_as_a_yaml_scalar(text: str, value: object) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


@pytest.mark.parametrize(
    "text",
    ["2026-05-01", "2026-13-45", "12:30", "Roofs: new ones", "Nr #3", "a\n- b", "- a", "nepal #2 and more", "{broken"],
)
def test_text_in_which_yaml_would_see_something_else_stays_text(text: str) -> None:
    assert scalar(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("10m", NOW - timedelta(minutes=10)),
        ("2h", NOW - timedelta(hours=2)),
        ("1.5d", NOW - timedelta(hours=36)),
        ("2026-04-30", datetime(2026, 4, 30, tzinfo=UTC)),
        ("2026-04-30T10:00+02:00", datetime(2026, 4, 30, 10, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_since_is_a_duration_or_an_iso_time_in_utc(text: str, expected: datetime) -> None:
    assert moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "10", "10x", "99999999999999d", "-1h"])
def test_any_other_moment_is_a_usage_error(text: str) -> None:
    with pytest.raises(click.BadParameter, match="neither a duration"):
        moment(text, NOW)

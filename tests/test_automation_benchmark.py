"""The report of the automation benchmarks: parts put together, growth computed, a broken part not passed over."""

from typing import Any

import pytest

from benchmarks.automation import combined, growth, with_smaller


def part(**rows: list[dict[str, Any]]) -> dict[str, Any]:
    budget = {"name": "a tick", "value": 0.5, "limit": 1.0, "must_be": "at most", "unit": "s", "kept": True}
    tables = [{"title": title, "rows": held} for title, held in rows.items()]
    return {"benchmark": "part", "tables": tables, "budgets": [budget], "notes": ["a note"], "kept": True}


def test_growth_tells_in_step_from_constant() -> None:
    rows = [{"versions": 100, "tick s": 0.1, "requests": 3}, {"versions": 10_000, "tick s": 10.0, "requests": 3}]
    (found,) = growth("stage_sensor", part(ticks=rows)["tables"])
    assert found["exponent"] == pytest.approx(1)
    rows[1]["tick s"] = 0.1
    (found,) = growth("stage_sensor", part(ticks=rows)["tables"])
    assert found["exponent"] == pytest.approx(0)


def test_a_part_of_one_size_grows_from_a_smaller_measurement() -> None:
    large = part(
        t=[
            {"backfill": "first", "items": 1_000, "seconds": 20.0},
            {"backfill": "again", "items": 1_000, "seconds": 1.0},
        ]
    )
    small = part(t=[{"backfill": "first", "items": 100, "seconds": 2.0}])
    whole = combined({"backfill": with_smaller(large, small)}, {})
    (found,) = whole.tables[-1].rows
    assert (found["size"], found["exponent"]) == ("100 → 1,000 items", pytest.approx(1))
    assert len(whole.tables) == 2


def test_a_table_without_sizes_has_no_growth() -> None:
    assert growth("latency", part(t=[{"promotion": "1", "s": 3.0}, {"promotion": "2", "s": 4.0}])["tables"]) == []
    assert growth("empty", part(t=[])["tables"]) == []


def test_a_part_that_broke_is_missed_not_left_out() -> None:
    whole = combined({"stage_sensor": part(t=[])}, {})
    assert whole.kept
    assert whole.notes == ["a note"]
    broken = combined({"stage_sensor": part(t=[])}, {"backfill": "it ended with 1"})
    assert not broken.kept
    assert "backfill: it ended with 1" in broken.notes

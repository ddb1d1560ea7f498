"""Conditions and orders over metadata that lacks fields, or holds other kinds of values than somebody expects."""

import time
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fair_dagster.domain.errors import RefusedError
from fair_dagster.oci.crawl.query import Condition, Order

DOCUMENT: dict[str, Any] = {
    "reference": "r/ramp:v1",
    "name": "ramp",
    "created": "2026-01-02T00:00:00Z",
    "customProperties": {"accuracy": 0.95, "tags": ["a", "b"], "my-key": 3, "text": "0.97", "pruned": False},
    "annotations": {"org.opencontainers.image.version": "7", "v": "v7"},
}


@pytest.mark.parametrize(
    "text",
    [
        "customProperties.accuracy > 0.9",
        "customProperties.accuracy >= 0.95 AND customProperties.accuracy < 1",
        "customProperties.accuracy BETWEEN 0.9 AND 1",
        "customProperties.accuracy * 2 - 1 > 0.8",
        "customProperties.text > 0.9",
        "annotations.org.opencontainers.image.version > 6",
        "annotations.v = 'v7'",
        '"customProperties.my-key" = 3',
        "customProperties.pruned = false",
        "NOT customProperties.pruned",
        "name LIKE 'r%p' AND name LIKE 'r__p' AND NOT name LIKE 'r.mp'",
        "CASEI(name) = CASEI('RAMP')",
        "name IN ('a', 'ramp')",
        "name <> 'yolo'",
        "A_CONTAINS(customProperties.tags, ('a'))",
        "created > DATE('2026-01-01') AND created < TIMESTAMP('2026-01-02T00:00:01Z')",
        "created = '2026-01-02T00:00:00Z'",
        "missing IS NULL AND name IS NOT NULL",
        "missing > 1 OR name = 'ramp'",
        "NOT (missing > 1 AND name = 'yolo')",
    ],
)
def test_a_document_fits(text: str) -> None:
    assert Condition.parse(text).fits(DOCUMENT)


@pytest.mark.parametrize(
    "text",
    [
        "customProperties.accuracy > 0.95",
        "missing > 1",
        "NOT missing > 1",
        "missing <> 1",
        "name > 3",
        "NOT name > 3",
        "name = missing",
        "missing = gone",
        "name IN ('a', missing)",
        "customProperties.accuracy / 0 > 1",
        "customProperties = 1",
        "customProperties.accuracy.deeper = 1",
        "A_CONTAINS(customProperties.tags, ('c'))",
        "A_CONTAINS(name, ('r'))",
        "created > DATE('2027-01-01')",
        "name > DATE('2027-01-01')",
        "customProperties.accuracy LIKE '0%'",
    ],
)
def test_what_is_missing_or_of_another_kind_does_not_fit(text: str) -> None:
    assert not Condition.parse(text).fits(DOCUMENT)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name == 'x'", "write = for =="),
        ("a = 1 && b != 2", "write AND for &&"),
        ("a >", "from character 4 on; a condition is like"),
        ("", "a condition is like"),
        ("name", "a value and no condition"),
        ("name + 1", "a value and no condition"),
        ("__import__('os') = 1", "cannot be understood|is not known here"),
        ("open(name) = 1", "'open' is not known here; known are"),
        ("S_INTERSECTS(geometry, POINT(0 0))", "geometries cannot be asked for"),
        ("(" * 60 + "a = 1" + ")" * 60, "nested deeper than 50"),
        ("NOT " * 60 + "a = 1", "nested deeper than 50"),
        ("-" * 60 + "1 = 1", "nested deeper than 50"),
        ("1" + " + 1" * 900 + " = a", "nested deeper than 50"),
        ("a = 1" + " OR a = 1" * 500, "longer than 4000"),
    ],
)
def test_what_is_no_condition_is_refused_in_a_line(text: str, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason) as caught:
        Condition.parse(text)
    assert all("\n" not in problem for problem in caught.value.problems)


def test_like_is_any_text_for_a_percent_sign_and_one_character_for_an_underscore() -> None:
    def is_like(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "%":
            return any(is_like(pattern[1:], text[start:]) for start in range(len(text) + 1))
        return bool(text) and pattern[0] in {"_", text[0]} and is_like(pattern[1:], text[1:])

    texts = ["".join(one) for length in range(4) for one in product("a\n", repeat=length)]
    for pattern in ("".join(one) for length in range(5) for one in product("a.%_", repeat=length)):
        condition = Condition.parse(f"a LIKE '{pattern}'")
        assert [one for one in texts if condition.fits({"a": one})] == [one for one in texts if is_like(pattern, one)]


def test_no_text_of_a_registry_makes_a_pattern_slow() -> None:
    start = time.process_time()
    assert not Condition.parse("a LIKE '" + "%a" * 12 + "%b'").fits({"a": "a" * 32})
    assert time.process_time() - start < 1


@given(st.text(alphabet="()[]{}'\"\\%_-+*/<>=., \nabNOTANDORnullDATE01é\0", max_size=80))
def test_no_text_brings_the_parser_down(text: str) -> None:
    try:
        condition = Condition.parse(text)
    except RefusedError:
        return
    condition.fits(DOCUMENT)


def test_a_condition_names_the_fields_that_it_asks_for() -> None:
    assert Condition.parse("a.b > 1 AND (c IS NULL OR a.b < c)").fields == ("a.b", "c")


def documents(*values: Any) -> list[dict[str, Any]]:
    given = [{"reference": f"r/{number}:v", "a": value} for number, value in enumerate(values)]
    return [{key: value for key, value in one.items() if value is not None} for one in given]


@pytest.mark.parametrize("limit", [None, 7])
def test_numbers_come_before_text_and_what_is_missing_comes_last(limit: int | None) -> None:
    found = documents(2, "10", None, "b", 0.5, "a", [1])
    assert [one.get("a") for one in Order.parse(["a"]).first(found, limit, dict)] == [0.5, 2, "10", "a", "b", [1], None]
    assert [one.get("a") for one in Order.parse(["-a"]).first(found, limit, dict)] == [
        "10",
        2,
        0.5,
        "b",
        "a",
        [1],
        None,
    ]


def test_several_fields_count_in_their_order_and_references_at_the_end() -> None:
    found = [{"reference": f"r/{number}", "a": number % 2, "b": number // 4} for number in (5, 3, 1, 0, 2, 4)]
    ordered = Order.parse(["-a", "b"]).first(found, 4, dict)
    assert [one["reference"] for one in ordered] == ["r/1", "r/3", "r/5", "r/0"]
    with pytest.raises(RefusedError, match="names no field"):
        Order.parse(["-"])

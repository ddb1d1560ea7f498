"""What is mapped, and where."""

from collections.abc import Sequence

import pytest

from fair_dagster.domain.items.coverage import GLOBAL, category, coverage, derived_properties
from tests.factories import KNOWLEDGE, base_model


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        (["polygon", "road", "building"], "road"),
        (["semantic-segmentation", "solar-panel", "polygon"], "solar-panel"),
        (["polygon", "building", "solar-panel"], "building"),
        (["polygon"], None),
        ([], None),
    ],
)
def test_the_category_is_the_first_feature_among_the_keywords(keywords: Sequence[str], expected: str | None) -> None:
    assert category(keywords, KNOWLEDGE.vocabulary) == expected


def asked(bbox: Sequence[float] | None) -> list[tuple[float, float]]:
    """The points whose country is asked for."""
    points: list[tuple[float, float]] = []
    coverage(bbox, lambda *point: points.append(point))
    return points


@pytest.mark.parametrize(
    ("bbox", "centre"),
    [
        ([85.0, 27.0, 86.0, 28.0], (85.5, 27.5)),
        ([85.0, 27.0, 0.0, 86.0, 28.0, 900.0], (85.5, 27.5)),
        ([85.5, 27.5, 85.5, 27.5], (85.5, 27.5)),
        ([178.0, -18.0, -178.0, -16.0], (-180.0, -17.0)),
        ([170.0, -18.0, -176.0, -16.0], (177.0, -17.0)),
        ([176.0, -18.0, -170.0, -16.0], (-177.0, -17.0)),
    ],
)
def test_the_country_of_the_centre_is_asked_for(bbox: Sequence[float], centre: tuple[float, float]) -> None:
    assert asked(bbox) == [centre]


@pytest.mark.parametrize(
    "bbox",
    [None, [], [85.0, 27.0], [-180.0, -90.0, 180.0, 90.0], [-180.0, -60.0, 180.0, 75.0], [10.0, -56.0, 20.0, 40.0]],
)
def test_an_item_of_no_place_or_of_half_the_world_is_global(bbox: Sequence[float] | None) -> None:
    assert asked(bbox) == []
    assert coverage(bbox, lambda *_: "GH") == GLOBAL


def test_a_centre_at_sea_is_global() -> None:
    assert coverage([-140.0, 0.0, -139.0, 1.0], lambda *_: None) == GLOBAL


@pytest.mark.parametrize("keywords", [None, 7, "building", [7, None]])
def test_keywords_of_another_form_derive_no_category_and_no_fault(keywords: object) -> None:
    item = base_model(keywords=keywords)
    assert set(derived_properties(item, KNOWLEDGE)) == {"fair:coverage"}

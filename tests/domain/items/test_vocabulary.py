"""The keyword vocabulary: what goes together, what is new, what is a slip."""

import pytest

from fair_dagster.catalog.validation.schemas import vocabulary

WORDS = vocabulary()


def test_the_shipped_vocabulary_names_only_what_it_lists() -> None:
    for feature, task, geometry in WORDS.combinations:
        assert feature in WORDS.features
        assert task in WORDS.tasks
        assert geometry in WORDS.geometries
    assert {feature for feature, _, _ in WORDS.combinations} == WORDS.features


@pytest.mark.parametrize(
    "keywords",
    [
        ["building", "semantic-segmentation", "polygon"],
        ["road", "semantic-segmentation", "line"],
        ["tree", "object-detection", "point", "canopy"],
        ["building", "tree", "semantic-segmentation", "polygon"],
        ["solid-waste", "semantic-segmentation", "polygon"],
    ],
)
def test_valid_keywords_are_accepted(keywords: list[str]) -> None:
    assert WORDS.keyword_problems(keywords) == []


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        (["building", "semantic-segmentation"], "exactly one of line, point, polygon; found none"),
        (["building", "semantic-segmentation", "point", "polygon"], "found point, polygon"),
        (["building", "polygon"], "must hold a task"),
        (["semantic-segmentation", "polygon"], "must say what is mapped"),
        (["buildings", "semantic-segmentation", "polygon"], "did you mean 'building'?"),
        (["building", "semantic-segmentation", "line"], "valid geometries are polygon"),
        (["landuse", "object-detection", "polygon"], "there is no such task for it"),
    ],
)
def test_each_fault_has_its_sentence(keywords: list[str], expected: str) -> None:
    problems = WORDS.keyword_problems(keywords)
    assert len(problems) == 1
    assert expected in problems[0]


def test_all_faults_are_told_at_once() -> None:
    assert len(WORDS.keyword_problems([])) == 3


def test_a_geometry_may_be_left_open_where_it_is_not_required() -> None:
    keywords = ["building", "semantic-segmentation"]
    assert WORDS.keyword_problems(keywords, geometry_required=False) == []
    assert WORDS.keyword_problems([*keywords, "line", "point"], geometry_required=False) != []


def test_a_feature_that_only_this_item_knows_is_a_warning() -> None:
    assert "'solid-waste' is not in the vocabulary" in WORDS.keyword_warnings(["solid-waste", "polygon"])[0]
    assert WORDS.keyword_warnings(["building", "roof-colour", "polygon"]) == []

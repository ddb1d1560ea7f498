"""The rules on items that JSON Schema cannot say."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fair_dagster.catalog.validation.schemas import vocabulary
from fair_dagster.domain.items import rules as item_rules
from tests.catalog import wild

WORDS = vocabulary()
SPEC = "properties.fair:hyperparameters_spec"
VALUES = "properties.mlm:hyperparameters"


def problems_with(entry: dict[str, Any], value: Any) -> list[str]:
    item = wild.base_model(
        **{"mlm:hyperparameters": {"training.x": value}, "fair:hyperparameters_spec": [{"key": "x", **entry}]}
    )
    return item_rules.base_model_problems(item, WORDS)


def test_items_of_the_wild_break_no_rule() -> None:
    assert item_rules.base_model_problems(wild.base_model(), WORDS) == []
    assert item_rules.base_model_problems(wild.early_base_model(), WORDS) == []
    assert item_rules.dataset_problems(wild.dataset(), WORDS) == []
    assert item_rules.local_model_problems(wild.local_model(), WORDS) == []


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ({"type": "int", "min": 1, "max": 3}, 3),
        ({"type": "float", "min": 0.0}, 1),
        ({"type": "str", "values": ["a", "b"]}, "b"),
        ({"type": "bool"}, False),
        ({"type": "imagery", "optional": True}, None),
        ({"type": "int"}, 10**9),
    ],
)
def test_values_inside_their_spec_are_accepted(entry: dict[str, Any], value: Any) -> None:
    assert problems_with({**entry, "default": value}, value) == []


@pytest.mark.parametrize(
    ("entry", "value", "expected"),
    [
        ({"type": "int", "max": 3}, 4, f"{VALUES}: 'training.x' must be at most 3, is 4"),
        ({"type": "int", "min": 5}, 4, f"{VALUES}: 'training.x' must be at least 5, is 4"),
        ({"type": "int"}, 1.5, f"{VALUES}: 'training.x' must be int, is 1.5"),
        ({"type": "int"}, True, f"{VALUES}: 'training.x' must be int, is True"),
        ({"type": "float"}, float("nan"), f"{VALUES}: 'training.x' must be finite, is nan"),
        ({"type": "str", "values": ["a"]}, "z", f"{VALUES}: 'training.x' must be one of a, is 'z'"),
        ({"type": "int", "min": 5, "max": 1}, 5, f"{SPEC}: 'x': min 5 is greater than max 1"),
        ({"type": "int", "max": 3, "default": 9}, 1, f"{SPEC}: the default of 'x' must be at most 3, is 9"),
    ],
)
def test_values_outside_their_spec_are_named(entry: dict[str, Any], value: Any, expected: str) -> None:
    assert expected in problems_with(entry, value)


def test_every_value_needs_an_entry_with_or_without_prefix() -> None:
    item = wild.base_model()
    item["properties"]["fair:hyperparameters_spec"][0]["key"] = "training.epochs"
    assert item_rules.base_model_problems(item, WORDS) == []
    item["properties"]["fair:hyperparameters_spec"].pop(0)
    expected = f"{SPEC}: no entry for the hyperparameter 'training.epochs'"
    assert item_rules.base_model_problems(item, WORDS) == [expected]


def test_an_entry_that_stands_twice_is_named() -> None:
    item = wild.base_model()
    item["properties"]["fair:hyperparameters_spec"] *= 2
    assert f"{SPEC}: 'epochs' stands there twice" in item_rules.base_model_problems(item, WORDS)


@pytest.mark.parametrize(
    ("item_id", "name", "valid"),
    [
        ("roof-finder", "roof-finder", True),
        ("roof-finder-v2", "roof-finder", True),
        ("roof_finder", "roof-finder", True),
        ("other", "roof-finder", False),
        ("Roof", "Roof", False),
        ("ramp-v1", "ramp-v1", False),
    ],
)
def test_id_name_and_slug_must_agree(item_id: str, name: str, valid: bool) -> None:
    item = wild.base_model(**{"mlm:name": name}) | {"id": item_id}
    assert (item_rules.base_model_problems(item, WORDS) == []) is valid


def test_an_id_with_underscores_is_a_warning() -> None:
    item = wild.base_model() | {"id": "roof_finder"}
    assert any("published as 'roof-finder'" in line for line in item_rules.model_warnings(item, WORDS))


def test_tasks_and_keywords_must_agree() -> None:
    item = wild.base_model(**{"mlm:tasks": ["classification"]})
    assert any(line.startswith("properties.mlm:tasks") for line in item_rules.base_model_problems(item, WORDS))
    dataset = wild.dataset(**{"label:tasks": ["detection"]})
    assert any("label:tasks" in line for line in item_rules.dataset_problems(dataset, WORDS))


def test_classes_may_not_share_a_value_or_a_name() -> None:
    item = wild.base_model()
    classes = item["properties"]["mlm:output"][0]["classification:classes"]
    classes[1] |= {"value": 0, "name": "background"}
    found = item_rules.base_model_problems(item, WORDS)
    where = "properties.mlm:output[0].classification:classes"
    assert found == [f"{where}: value 0 is used twice", f"{where}: name 'background' is used twice"]


@pytest.mark.parametrize("entrypoint", [None, "models.x.pipeline", "models/x:y", "os; rm:x"])
def test_the_code_asset_must_name_an_entrypoint(entrypoint: str | None) -> None:
    item = wild.base_model()
    item["assets"]["source-code"]["mlm:entrypoint"] = entrypoint
    assert any("mlm:entrypoint" in line for line in item_rules.base_model_problems(item, WORDS))


@pytest.mark.parametrize("artifact_type", ["pickle", "torch.save"])
def test_pickled_weights_are_a_warning(artifact_type: str) -> None:
    item = wild.base_model()
    item["assets"]["checkpoint"]["mlm:artifact_type"] = artifact_type
    assert item_rules.base_model_problems(item, WORDS) == []
    assert any("pickle" in line for line in item_rules.model_warnings(item, WORDS))


def test_weights_must_say_how_they_are_stored() -> None:
    item = wild.base_model()
    del item["assets"]["checkpoint"]["mlm:artifact_type"]
    assert any("how the weights are stored" in line for line in item_rules.base_model_problems(item, WORDS))


def test_a_local_model_without_parents_is_a_warning() -> None:
    item = wild.local_model() | {"links": []}
    assert any("derived_from" in line for line in item_rules.local_model_warnings(item, WORDS))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_NAMES = ["keywords", "mlm:name", "mlm:tasks", "mlm:output", "mlm:hyperparameters", "fair:hyperparameters_spec"]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(_NAMES), _JSON, st.sampled_from(["properties", "assets", "links", "id"]), _JSON)
def test_no_junk_makes_a_rule_raise(name: str, value: Any, section: str, junk: Any) -> None:
    for item in (wild.base_model(**{name: value}), wild.base_model() | {section: junk}):
        for rules in (item_rules.base_model_problems, item_rules.local_model_problems, item_rules.dataset_problems):
            rules(item, WORDS)
        for rules in (item_rules.local_model_warnings, item_rules.dataset_warnings):
            rules(item, WORDS)

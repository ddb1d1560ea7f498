import math

import pytest

from fair_dagster.domain.items.hyperparameter_spec import override_problems, resolve
from tests.factories import base_model


def test_defaults_come_without_prefix_and_overrides_win() -> None:
    values = resolve(base_model(), {"training.epochs": 7, "learning_rate": 1}, "training")

    assert values == {"epochs": 7, "learning_rate": 1.0, "optimizer": "sgd"}
    assert isinstance(values["learning_rate"], float)


def test_every_wrong_override_is_named_at_once() -> None:
    overrides = {"epochs": 0, "learning_rate": "fast", "optimizer": "lbfgs", "epoch": 3, "verbose": True}

    problems = override_problems(base_model(), overrides, "training")

    assert problems == [
        "hyperparameter 'epochs' must be at least 1, is 0",
        "hyperparameter 'learning_rate' must be float, is 'fast'",
        "hyperparameter 'optimizer' must be one of sgd, adam, is 'lbfgs'",
        "hyperparameter 'epoch' is not in the spec of 'ramp'; did you mean 'epochs'?",
        "hyperparameter 'verbose' is not in the spec of 'ramp'; known are epochs, learning_rate, optimizer",
    ]


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("epochs", True, "must be int, is True"),
        ("epochs", 2.5, "must be int, is 2.5"),
        ("epochs", 51, "must be at most 50, is 51"),
        ("learning_rate", math.nan, "must be finite, is nan"),
    ],
)
def test_a_value_of_wrong_type_or_range_is_refused(name: str, value: object, problem: str) -> None:
    assert override_problems(base_model(), {name: value}, "training") == [f"hyperparameter {name!r} {problem}"]


def test_an_inference_parameter_is_unknown_to_training() -> None:
    assert override_problems(base_model(), {"confidence_threshold": 0.7}, "training")
    assert not override_problems(base_model(), {"confidence_threshold": 0.7}, "inference")

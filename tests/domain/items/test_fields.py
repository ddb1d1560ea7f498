"""Reading items in every spelling that contributors have used."""

import pytest

from fair_dagster.domain import items
from tests.factories import base_model


def test_assets_are_found_by_role_before_key() -> None:
    item = base_model()
    item["assets"]["weights"] = {"href": "/a/by-key.bin"}

    assert items.weights_asset(item) == ("checkpoint", item["assets"]["checkpoint"])


@pytest.mark.parametrize("key", ["training-runtime", "mlm:training"])
def test_a_runtime_is_found_by_both_keys_without_a_role(key: str) -> None:
    item = base_model()
    item["assets"] = {key: {"href": "ghcr.io/x"}}

    assert items.runtime_asset(item, "training") == (key, {"href": "ghcr.io/x"})


def test_weights_of_early_items_are_the_model_that_is_no_onnx() -> None:
    item = base_model()
    item["assets"] = {
        "onnx": {"href": "/a/m.onnx", "roles": ["mlm:model"]},
        "model": {"href": "https://example.org/seed.pt", "roles": ["mlm:model"], "mlm:artifact_type": "torch.save"},
    }

    assert items.weights_asset(item) == ("model", item["assets"]["model"])
    assert items.onnx_asset(item) == ("onnx", item["assets"]["onnx"])


def test_hyperparameters_of_early_items_are_about_training() -> None:
    item = base_model(**{"mlm:hyperparameters": {"epochs": 3, "inference.confidence_threshold": 0.4}})

    assert items.hyperparameters(item, "training") == {"epochs": 3}
    assert items.hyperparameters(item, "inference") == {"confidence_threshold": 0.4}


@pytest.mark.parametrize(
    ("asset", "pickled"),
    [
        ({"href": "/a/x.skops"}, False),
        ({"href": "/a/x.safetensors"}, False),
        ({"href": "/a/x.pkl"}, True),
        ({"href": "/a/x.pt", "mlm:artifact_type": "torch.save"}, True),
    ],
)
def test_a_pickle_is_known_by_its_type_or_name(asset: dict[str, str], pickled: bool) -> None:
    assert items.is_pickle(asset) is pickled


def test_a_version_that_is_no_number_counts_as_the_first() -> None:
    assert items.number_of(base_model(version="1.2-beta")) == 1

"""``predict`` with an artifact, and ``oci register``."""

import json
from typing import Any

import pytest

from fair_dagster.oci.registry.registries import Registries
from tests.cli.conftest import Call
from tests.cli.fakes import FakeFair, FakeStarted

ARTIFACT = "oci://registry.local:5000/fair/ramp:v1"


def test_an_artifact_that_somebody_types_brings_a_client_of_its_own(
    call: Call, fair: FakeFair, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def predict(model: str, *_: Any, registries: Any, **__: Any) -> FakeStarted:
        given.append((model, registries))
        return FakeStarted("out.geojson")

    monkeypatch.setattr(fair, "predict", predict)
    assert call("predict", ARTIFACT, "--images", ".", "--detach").exit_code == 0
    assert call("predict", "ramp-nepal", "--images", ".", "--detach").exit_code == 0
    (artifact, registries), (name, without) = given
    assert (artifact, name, without) == (ARTIFACT, "ramp-nepal", None)
    assert isinstance(registries, Registries)


def test_a_reference_that_is_none_is_refused_with_its_form(call: Call, fair: FakeFair) -> None:
    result = call("predict", "oci://UPPER/x", "--images", ".")
    assert result.exit_code == 1
    assert "no name of a repository" in result.stderr
    assert fair.asked == []


def test_register_says_which_item_stands_for_it(call: Call, fair: FakeFair) -> None:
    result = call("oci", "register", ARTIFACT)
    assert result.stdout == "registered as ramp, version 3\n"
    assert fair.asked == [("register_artifact", ARTIFACT)]
    assert json.loads(call("oci", "register", ARTIFACT, "--json").stdout)["id"] == "ramp"
    assert "not registered" in call("oci", "register", "registry.local:5000/plain:v1").stdout

"""``lineage``: a tree, Mermaid, one JSON document."""

import json

from tests.cli.conftest import Call
from tests.cli.fakes import FakeFair
from tests.factories import version


def test_lineage_prints_a_tree(call: Call, fair: FakeFair) -> None:
    fair.records = [version(1, "staging")]
    result = call("lineage", "ramp")
    assert result.stdout.splitlines() == [
        "base-models/ramp (version 1, active)",
        "used by",
        "└─ local-models/ramp-nepal-v1 (version 1, not published, staging), with banepa v1",
    ]
    assert fair.asked == [("lineage", "ramp", False)]


def test_lineage_with_json_prints_everything_by_key(call: Call, fair: FakeFair) -> None:
    fair.records = [version(number) for number in range(1, 41)]
    document = json.loads(call("lineage", "ramp", "--json", "--published").stdout)
    assert document["roots"] == ["base-models/ramp"]
    assert len(document["nodes"]) == 42
    edge = {"source": "local-models/ramp-nepal-v1", "relation": "derived_from", "target": "base-models/ramp"}
    assert edge in document["edges"]
    assert fair.asked == [("lineage", "ramp", True)]


def test_a_large_family_is_cut_with_a_remark_unless_all_is_asked_for(call: Call, fair: FakeFair) -> None:
    fair.records = [version(number) for number in range(1, 41)]
    assert call("lineage", "ramp").stdout.splitlines()[-1] == "└─ … and 20 finetunes; --all shows them"
    assert len(call("lineage", "ramp", "--all").stdout.splitlines()) == 42
    of_the_model = call("lineage", "ramp-nepal").stdout
    assert of_the_model.startswith("… 20 older versions; --all shows them")
    assert "ramp-nepal-v40" in of_the_model


def test_lineage_as_mermaid(call: Call, fair: FakeFair) -> None:
    fair.records = [version(1)]
    lines = call("lineage", "ramp", "--mermaid").stdout.splitlines()
    assert lines[0] == "flowchart RL"
    assert sum("derived_from" in line for line in lines) == 2
    assert call("lineage", "ramp", "--mermaid", "--json").exit_code == 2


def test_predictions_that_cannot_be_read_are_named(call: Call, fair: FakeFair) -> None:
    fair.unread = ("/runs/predict-1/prediction.yaml",)
    assert "/runs/predict-1/prediction.yaml" in call("lineage", "ramp").stderr

"""``catalog reconcile``: what it prints and how it exits."""

import json

from fair_dagster.domain.publication.findings import Finding
from tests.cli.conftest import Call
from tests.cli.fakes import FakeFair

REPAIRABLE = Finding(
    "local-models", "ramp-v1", "altered", "differs: properties.license", "set these fields anew", "ramp"
)
LASTING = Finding("datasets", "banepa", "missing artifact", "labels are gone", family="banepa")


def test_no_drift_says_so_and_exits_with_0(call: Call) -> None:
    result = call("catalog", "reconcile")
    assert (result.exit_code, result.stdout) == (0, "the catalog is as it should be\n")


def test_drift_is_a_table_that_fits_and_exits_with_1(call: Call, fair: FakeFair) -> None:
    fair.drifted = [REPAIRABLE, LASTING]
    result = call("catalog", "reconcile")
    assert result.exit_code == 1
    assert "ramp-v1" in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()) <= 80
    assert "--repair" in result.stderr
    assert fair.asked == []


def test_a_repair_says_what_it_did_and_what_remains(call: Call, fair: FakeFair) -> None:
    fair.drifted = [REPAIRABLE, LASTING]
    result = call("catalog", "reconcile", "--repair", "--no-checksums", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 1
    assert [one["item"] for one in document["done"]] == ["ramp-v1"]
    assert [one["item"] for one in document["findings"]] == ["banepa"]
    assert fair.asked == [("reconcile", False)]


def test_a_repair_of_everything_exits_with_0(call: Call, fair: FakeFair) -> None:
    fair.drifted = [REPAIRABLE]
    result = call("catalog", "reconcile", "--repair")
    assert (result.exit_code, "updated local-models/ramp-v1: " in result.stdout) == (0, True)


def test_a_document_that_was_rewritten_is_named_once(call: Call, fair: FakeFair) -> None:
    fair.drifted = [Finding("datasets", "", "document", "datasets/collection.json: it is gone", "write it anew")]
    result = call("catalog", "reconcile", "--repair")
    assert result.stdout.splitlines()[0] == "rewritten datasets/collection.json: it is gone"


def test_what_is_about_a_collection_has_a_heading_in_a_narrow_terminal(call: Call, fair: FakeFair) -> None:
    fair.drifted = [Finding("datasets", "", "document", "datasets/collection.json: it is gone", "write it anew")]
    assert call("catalog", "reconcile", columns=40).stdout.startswith("(collection)\n")

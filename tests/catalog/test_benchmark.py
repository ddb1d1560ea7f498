"""The benchmark of the catalog runs, says its result as data, and does without the peer when it cannot be had."""

import json
import re

import pytest
from click.testing import CliRunner

from benchmarks import catalog
from benchmarks.peers import PeerUnavailableError
from benchmarks.report import Budget, Report, Table, show


def test_the_result_is_data_when_asked(capfd: pytest.CaptureFixture[str]) -> None:
    done = CliRunner().invoke(catalog.main, ["--json", "--no-peer", "--sizes", "3,6"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert [row["items"] for row in document["tables"][0]["rows"]] == [3, 6]
    assert document["kept"] is True


def test_a_peer_that_cannot_be_had_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: str) -> None:
        raise PeerUnavailableError("no network")

    monkeypatch.setattr(catalog, "peer_python", refuse)
    done = CliRunner().invoke(catalog.main, ["--json", "--sizes", "3"])
    document = json.loads(done.stdout)
    assert document["notes"] == [f"not compared with {catalog.PEER}: no network"]
    assert len(document["tables"]) == 1


def test_a_missed_budget_is_shown_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    missed = Budget("ratio", 10.0, 50.0, "at least", "times")
    assert show(Report("x", [Table("Rows", [{"n": 1, "ms": 2.5}])], [missed]), as_json=False) == 1
    assert re.search(r"missed\s+ratio: 10", capsys.readouterr().out)
    assert show(Report("x", [], [Budget("time", 10.0, 50.0)]), as_json=True) == 0


def test_versions_of_a_family_are_published_in_order() -> None:
    order = catalog.versions(12)
    assert len(set(order)) == 12
    for slug in {slug for slug, _ in order}:
        assert [number for own, number in order if own == slug] == [1, 2, 3, 4]


def test_on_a_stac_api_import_and_promotions_are_measured(services: object) -> None:
    options = ["--json", "--no-peer", "--stac-api", "--sizes", "150", "--imported", "60"]
    done = CliRunner().invoke(catalog.main, options)
    document = json.loads(done.stdout)
    imports, promotions = document["tables"]
    assert [row[""] for row in imports["rows"]] == ["pypgstac load", "ours: load", "ours: load and comparison"]
    assert promotions["rows"][0]["items"] == 150
    assert promotions["rows"][0]["8 clients/s"] > 0
    assert [budget["name"] for budget in document["budgets"]] == ["one promotion at 150 items"]

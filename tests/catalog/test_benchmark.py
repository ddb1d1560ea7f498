"""The benchmark of the catalog runs, says its result as data, and does without the peer when it cannot be had."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import catalog, stac_catalog
from benchmarks.peers import PeerUnavailableError
from benchmarks.report import Budget, Report, Table, show
from benchmarks.servers import CatalogServers
from tests.services.servers import PostgresServer, StacApis


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


def test_on_a_stac_api_import_and_promotions_are_measured(
    postgres_session: PostgresServer, stac_api: StacApis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {"ROUNDS": 1, "CLIENTS": 2, "OF_EACH_CLIENT": 2, "PROMOTIONS": 2}.items():
        monkeypatch.setattr(stac_catalog, name, value)
    servers = CatalogServers(postgres_session.supervisor)
    tables, budgets, notes = stac_catalog.measure(servers, [20], 30, peer=False, folder=tmp_path)
    imports, promotions = tables
    assert [row[""] for row in imports.rows] == ["pypgstac load", "ours: load", "ours: load and comparison"]
    assert all(row["items/s"] > 0 for row in imports.rows)
    assert promotions.rows[0]["items"] == 20
    assert promotions.rows[0]["2 clients/s"] > 0
    assert [budget.name for budget in budgets] == ["one promotion at 20 items"]
    assert notes == []

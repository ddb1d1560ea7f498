"""Dagster's web server on the installation, asked as its own pages ask: by GraphQL."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.domain.items.stac import Item
from fair_dagster.fair import Fair
from tests.e2e.conftest import MODEL, RAISING, until

Ask = Callable[..., Any]
GRAPH = "{ assetNodes { assetKey { path } dependencyKeys { path } groupName } }"
MATERIALIZATIONS = """
query($path: [String!]!, $partitions: [String!]) {
  assetOrError(assetKey: {path: $path}) {
    ... on Asset {
      assetMaterializations(partitions: $partitions, limit: 1) {
        partition
        metadataEntries { label ... on PathMetadataEntry { path } ... on MarkdownMetadataEntry { mdStr } }
      }
    }
  }
}
"""


@pytest.fixture(scope="module")
def server(fair: Fair, promoted: Item, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    output = tmp_path_factory.mktemp("web") / "output.log"
    command = [sys.executable, "-m", "dagster_webserver", "-m", "fair_dagster.definitions", "-h", "127.0.0.1"]
    with output.open("wb") as log:
        process = subprocess.Popen(
            [*command, "-p", str(port)],
            env=os.environ | fair.settings.environment() | {"DAGSTER_HOME": str(fair.settings.dagster_path)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def answers() -> bool:
        assert process.poll() is None, output.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=5):
                return True
        except (urllib.error.URLError, TimeoutError):
            return False

    try:
        until(answers, "the start of the web server")
        yield f"http://127.0.0.1:{port}/graphql"
    finally:
        # It serves the code location from processes of its own.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def graphql(server: str) -> Ask:
    def ask(query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(server, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer
        return answer["data"]

    return ask


def test_the_graph_leads_from_base_model_and_dataset_to_the_published_model(graphql: Ask) -> None:
    nodes = graphql(GRAPH)["assetNodes"]
    found = {
        "/".join(node["assetKey"]["path"]): {"/".join(key["path"]) for key in node["dependencyKeys"]} for node in nodes
    }
    for slug in (MODEL, RAISING):
        assert found[f"base_models/{slug}"] == set()
        assert found[f"training_configs/{slug}"] == {f"base_models/{slug}", "datasets"}
        assert found[f"finetuned_models/{slug}"] == {f"training_configs/{slug}"}
        assert found[f"local_models/{slug}"] == {f"finetuned_models/{slug}"}
    assert found["collections/local_models"] == {f"local_models/{MODEL}", f"local_models/{RAISING}"}
    assert {node["groupName"] for node in nodes} >= {"base_models", "datasets", "finetunes", "local_models"}


def test_the_promoted_version_is_a_materialized_partition_with_its_lineage(
    graphql: Ask, fair: Fair, promoted: Item
) -> None:
    answer = graphql(MATERIALIZATIONS, path=["local_models", MODEL], partitions=[promoted["id"]])
    (materialization,) = answer["assetOrError"]["assetMaterializations"]
    assert materialization["partition"] == promoted["id"]
    entries = {entry["label"]: entry for entry in materialization["metadataEntries"]}
    assert Path(entries["item"]["path"]) == Path(fair.href(promoted))
    assert MODEL in entries["lineage"]["mdStr"]
    assert "metrics" in entries

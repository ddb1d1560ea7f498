"""The notebooks of ``docs/`` run as they are committed, and their outputs name nothing of the machine."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scripts.notebooks import NOTEBOOKS, execute
from tests.services.servers import RegistryServer

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
OF_A_MACHINE = re.compile(r"/(tmp|home|root|Users|work|var|opt|usr)/|127\.0\.0\.1|localhost:(?!5000)")

pytestmark = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def test_its_outputs_are_committed_small_and_name_nothing_of_a_machine(path: Path) -> None:
    notebook = json.loads(path.read_bytes())
    assert all(cell["execution_count"] for cell in notebook["cells"] if cell["cell_type"] == "code")
    assert path.stat().st_size < 60_000
    assert [
        output for output in outputs(notebook) if output["output_type"] == "error" or output.get("name") == "stderr"
    ] == []
    assert OF_A_MACHINE.search(json.dumps(outputs(notebook))) is None


def test_it_runs_against_a_registry(
    path: Path, docker_registry: RegistryServer, schema_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nbclient")
    monkeypatch.setenv("FAIR_OFFLINE", "true")
    monkeypatch.setenv("FAIR_SCHEMA_CACHE", str(schema_cache))
    committed = json.loads(path.read_bytes())
    executed = execute(path, docker_registry.host)
    kinds = [[output["output_type"] for output in outputs(notebook)] for notebook in (committed, executed)]
    assert kinds[0] == kinds[1], "as committed; digests and pictures may differ"

"""Names that stand outside of this repository: model folders, images and stored databases hold them.

The list is the table "Paths that stay" of ``docs/model-folders.md``.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

_GUIDE = Path(__file__).resolve().parents[1] / "docs" / "model-folders.md"
_ROW = re.compile(r"^\| `(fair_dagster\.[\w.]+)` \| (.+?) \|", re.MULTILINE)


def _listed() -> list[tuple[str, str]]:
    section = _GUIDE.read_text().split("### Paths that stay", 1)[1].split("\n## ", 1)[0]
    return [(module, name) for module, names in _ROW.findall(section) for name in re.findall(r"`(\w+)`", names)]


def test_a_path_that_others_store_or_import_leads_somewhere(tmp_path: Path) -> None:
    """In a process of its own: some of them import ZenML, which serves one home a process."""
    program = (
        "import importlib, json, sys\n"
        "lost = [[m, n] for m, n in json.load(sys.stdin) if not getattr(importlib.import_module(m), n, None)]\n"
        "sys.exit(str(lost) if lost else 0)"
    )
    environment = {**os.environ, "ZENML_CONFIG_PATH": str(tmp_path / "zenml"), "ZENML_ANALYTICS_OPT_IN": "false"}
    asked = json.dumps(_listed())
    command = [sys.executable, "-c", program]
    ended = subprocess.run(
        command, input=asked, capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path, env=environment
    )
    assert ended.returncode == 0, ended.stderr


def test_the_list_holds_what_stored_databases_and_documents_name() -> None:
    modules = {module for module, _ in _listed()}
    outside = {
        *(f"fair_dagster.pipelines.{name}" for name in ("inputs", "materializers", "metadata", "runner")),
        *(f"fair_dagster.oci.{name}" for name in ("metadata", "pulling", "pushing", "references", "registry")),
        "fair_dagster.domain.errors",
    }
    assert outside <= modules

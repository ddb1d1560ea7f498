"""Names that stand outside of this repository: model folders, images and stored databases hold them.

The list is the table "Paths that stay" of ``docs/model-folders.md``.
"""

import importlib
import re
from pathlib import Path

import pytest

_GUIDE = Path(__file__).resolve().parents[1] / "docs" / "model-folders.md"
_ROW = re.compile(r"^\| `(fair_dagster\.[\w.]+)` \| (.+?) \|", re.MULTILINE)


def _listed() -> list[tuple[str, str]]:
    section = _GUIDE.read_text().split("### Paths that stay", 1)[1].split("\n## ", 1)[0]
    return [(module, name) for module, names in _ROW.findall(section) for name in re.findall(r"`(\w+)`", names)]


@pytest.mark.parametrize(("module", "name"), _listed())
def test_a_path_that_others_store_or_import_leads_somewhere(module: str, name: str) -> None:
    assert getattr(importlib.import_module(module), name)


def test_the_list_holds_what_stored_databases_and_documents_name() -> None:
    modules = {module for module, _ in _listed()}
    outside = {
        *(f"fair_dagster.pipelines.{name}" for name in ("inputs", "materializers", "metadata", "runner")),
        *(f"fair_dagster.oci.{name}" for name in ("metadata", "pulling", "pushing", "references", "registry")),
        "fair_dagster.domain.errors",
    }
    assert outside <= modules

"""Execute the notebooks of ``docs/`` and write their outputs: ``python -m scripts.notebooks``.

Each runs in a kernel and a folder of its own, against the registry of ``REGISTRY`` (``localhost:5000`` without).
Outputs say ``localhost:5000`` whatever the registry was.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "docs" / "notebooks"
REGISTRY = "localhost:5000"
_SECONDS = 900


def execute(path: Path, registry: str) -> Any:
    """The notebook with the outputs of this execution.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raises.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    environment = {**os.environ, "REGISTRY": registry}
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=_SECONDS, resources={"metadata": {"path": folder}})
        client.execute(env=environment)
    for cell in notebook.cells:
        # When it was executed is no news.
        cell.metadata.pop("execution", None)
    text = json.dumps(notebook).replace(registry, REGISTRY)
    return nbformat.from_dict(json.loads(text))  # type: ignore[no-untyped-call]


def main() -> None:
    import nbformat

    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        nbformat.write(execute(path, os.environ.get("REGISTRY", REGISTRY)), path)  # type: ignore[no-untyped-call]
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()

"""A home of version 0.1.0, made before the modules moved: its ZenML database, Dagster instance and catalog still open.

``data/home-0.1.0.tar.xz`` was made on an empty home by ``base-model register texture-segmentation``, a dataset of nine
synthetic chips of 64 px, ``finetune`` with one epoch, ``version promote``, ``item patch --set fair:pinned=true`` and a
second ``finetune``. ZenML notes absolute paths, so that it is unpacked where it was made.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ARCHIVE = Path(__file__).parent / "data" / "home-0.1.0.tar.xz"
HOME = Path("/tmp/fair-dagster-former-home")

# ZenML serves one home a process.
_SCRIPT = """
import json
from fair_dagster import Fair

fair = Fair()
before = {version.id: version.stage for version in fair.versions("buildings-town")}
from zenml.client import Client
stored = {
    found.materializer.source if hasattr(found.materializer, "source") else str(found.materializer): len(found.load())
    for found in Client().list_artifact_versions(artifact="onnx_model", size=5).items
}
item = fair.promote("buildings-town-v2")
print(json.dumps({
    "before": before,
    "runs": sorted({run.job for run in fair.runs()}),
    "stored": stored,
    "promoted": item["id"],
    "former": fair.item("buildings-town-v1")["properties"],
    "drift": fair.drift().to_dict("records"),
}))
"""


@pytest.fixture
def former_home() -> Iterator[Path]:
    shutil.rmtree(HOME, ignore_errors=True)
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(HOME.parent, filter="data")
    yield HOME
    shutil.rmtree(HOME, ignore_errors=True)


def test_a_home_of_the_former_version_is_read_promoted_in_and_free_of_drift(former_home: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "FAIR_HOME": str(former_home), "FAIR_OFFLINE": "true"}
    ended = subprocess.run(
        [sys.executable, "-c", _SCRIPT], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    assert found["before"] == {"buildings-town-v1": "production", "buildings-town-v2": "none"}
    assert "finetune__texture_segmentation" in found["runs"]
    assert found["stored"]
    assert all("fair_dagster.pipelines.materializers" in source for source in found["stored"])
    assert found["promoted"] == "buildings-town-v2"
    assert found["former"]["deprecated"]
    assert found["former"]["fair:pinned"]
    assert found["drift"] == []

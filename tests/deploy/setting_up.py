"""The scripts of deploy/setup as an operator runs them, and what a prepared catalog may hold."""

import os
import subprocess
import sys
from collections.abc import Mapping

from tests.deploy.documents import DEPLOY, ROOT

ITEM = """{"type": "Feature", "stac_version": "1.1.0", "id": "a", "collection": "c", "links": [], "assets": {},
 "geometry": {"type": "Point", "coordinates": [0, 0]}, "bbox": [0, 0, 0, 0],
 "properties": {"datetime": "2026-01-01T00:00:00Z"}}"""
COLLECTION = """{"type": "Collection", "id": "c", "stac_version": "1.1.0", "description": "d", "license": "other",
 "links": [], "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[null, null]]}}}"""


def run_setup(script: str, environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script to its end, with nothing of this process's variables but what finds programs."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, str(DEPLOY / "setup" / script), *arguments],
        env={**kept, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )

"""A home of servers for one test."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.fixtures import Services
from tests.services.installation import Installation


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users may enter."""
    made = Path(tempfile.mkdtemp(prefix="fair-home-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def installation(services: Services, folder: Path) -> Iterator[Installation]:
    """A home whose servers end with the test. Redis and the S3 server are here: they start in no time."""
    services.require("redis", "s3")
    made = Installation(folder)
    yield made
    made.supervisor.down()

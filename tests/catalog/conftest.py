"""Shared by the tests of the catalog."""

from pathlib import Path

import pytest

from fair_dagster.catalog.validation.validator import Validator
from fair_dagster.settings import Settings

SHARED_SCHEMAS = Path(__file__).parents[2].parent / "shared" / "schemas"


@pytest.fixture(scope="session")
def shared_schemas() -> Path:
    """Copies of the public extension schemas, read-only."""
    if not SHARED_SCHEMAS.is_dir():
        pytest.skip("the folder ../shared/schemas with copies of the extension schemas is not there")
    return SHARED_SCHEMAS


@pytest.fixture(scope="session")
def validator(shared_schemas: Path) -> Validator:
    return Validator(Settings(schema_cache=shared_schemas, offline=True))


@pytest.fixture
def bare_validator(tmp_path: Path) -> Validator:
    """Without network and without any extension schema."""
    return Validator(Settings(schema_cache=tmp_path / "schemas", offline=True))

"""The API on pgstac, with items as the system publishes them, passes ``stac-api-validator``."""

import json
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from benchmarks.stac_catalog import fill
from fair_dagster.domain.items.fields import LOCAL_MODELS
from fair_dagster.settings import Settings
from tests.schema_server import asked  # noqa: F401 - a fixture

CLASSES = ["core", "collections", "features", "item-search"]
"""Conformance classes of the API. Not its fields extension: the server answers such searches as application/json."""
AREA = {"type": "Polygon", "coordinates": [[[85.0, 27.0], [86.0, 27.0], [86.0, 28.0], [85.0, 28.0], [85.0, 27.0]]]}


def test_the_api_passes_stac_api_validator(
    tmp_path: Path,
    pgstac_database: str,
    stac_api: Callable[[str], str],
    asked: set[str],  # noqa: F811
) -> None:
    from stac_api_validator.validations import QueryConfig, validate_api

    dsn = SecretStr(pgstac_database)
    settings = Settings(home=tmp_path, catalog=stac_api(pgstac_database), pgstac_dsn=dsn)
    fill(settings, 12)
    _, errors = validate_api(
        root_url=settings.catalog,
        ccs_to_validate=CLASSES,
        collection=LOCAL_MODELS,
        geometry=json.dumps(AREA),
        auth_bearer_token=None,
        auth_query_parameter=None,
        fields_nested_property=None,
        validate_pagination=False,
        query_config=QueryConfig(*[None] * 13),
        transaction_collection=None,
        headers={},
        open_assets_urls=False,
    )
    assert list(errors) == []
    assert asked

"""What the system publishes passes the validators of the STAC community: as files, and as an API on pgstac.

They fetch schemas. Here they are given copies instead of the network, and a schema of which there is no copy fails the
test by its name.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag

import pytest
from pydantic import SecretStr

from fair_dagster.domain.items.fields import COLLECTIONS
from fair_dagster.domain.items.stac import Item
from fair_dagster.fair import Fair
from fair_dagster.flows.moving import import_catalog
from fair_dagster.settings import Settings
from tests.schema_server import asked  # noqa: F401 - a fixture


@pytest.fixture
def published(
    fair: Fair, promoted: Item, tmp_path: Path, pgstac_database: str, stac_api: Callable[[str], str]
) -> Settings:
    """The catalog of a real publication, base model to promoted version, in pgstac."""
    dsn = SecretStr(pgstac_database)
    settings = Settings(home=tmp_path / "home", catalog=stac_api(pgstac_database), pgstac_dsn=dsn)
    assert import_catalog(settings, fair.settings.catalog_path, "empty").differences == ()
    return settings


def validated(address: str) -> dict[str, Any]:
    from stac_validator.stac_validator import StacValidate

    validator = StacValidate(address, links=False, assets=False)
    validator.run()
    (message,) = validator.message
    return dict(message)


def documents(folder: Path) -> Iterator[Path]:
    yield folder / "catalog.json"
    for name in COLLECTIONS:
        yield folder / name / "collection.json"
        yield from sorted((folder / name).glob("*/*.json"))


def test_the_published_files_pass_stac_validator(
    fair: Fair,
    promoted: Item,
    asked: set[str],  # noqa: F811
) -> None:
    found = {path.stem: validated(str(path)) for path in documents(fair.settings.catalog_path)}
    assert promoted["id"] in found
    assert {name: told for name, told in found.items() if not told["valid_stac"]} == {}
    # Extensions were checked with the core, not left out.
    declared = {uri for uri in promoted["stac_extensions"] if "stac-extensions.github.io" in uri}
    assert declared
    assert {urldefrag(uri).url for uri in declared} <= asked


def test_the_documents_of_the_api_pass_stac_validator(
    published: Settings,
    promoted: Item,
    asked: set[str],  # noqa: F811
) -> None:
    # The landing page is the server's own and of STAC 1.0.0, whose schemas are not among the copies.
    addresses = [f"{published.catalog}/collections/{name}" for name in COLLECTIONS]
    addresses.append(f"{published.catalog}/collections/{promoted['collection']}/items/{promoted['id']}")
    found = [validated(address) for address in addresses]
    assert [told for told in found if not told["valid_stac"]] == []

"""Items as a former release wrote them."""

from fair_dagster.catalog.validation.validator import KINDS
from fair_dagster.domain import items
from fair_dagster.domain.items.coverage import DERIVED
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet
from tests.installations import Installation


def make_former(installation: Installation, collection: str) -> list[Item]:
    """Turn the items of a collection into what a release wrote that knew only schema 1.0.0."""
    catalog = installation.services.catalog
    former = []
    for item in list(catalog.items(collection)):
        properties = {key: value for key, value in item["properties"].items() if key not in DERIVED}
        uris = {uri for uri in item["stac_extensions"] if not uri.startswith(items.SCHEMA_ROOT)}
        properties["fair:schema_version"] = "1.0.0"
        uris.add(items.schema_uri(KINDS[collection], "1.0.0"))
        former.append(item | {"properties": properties, "stac_extensions": sorted(uris)})
    keys = [(ItemKey(collection, item["id"]), item) for item in former]
    catalog.apply(ChangeSet(tuple(Change("update", key, "as it was", item) for key, item in keys)))
    return former

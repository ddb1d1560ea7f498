"""Patching the fields of an item that belong to users."""

from collections.abc import Mapping
from typing import Any

from fair_dagster.domain.items import patches
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.domain.publication.drift import to_edit
from fair_dagster.flows.items import find
from fair_dagster.flows.publication import road
from fair_dagster.flows.services import Services


def patch(services: Services, name: str, change: Mapping[str, Any]) -> Item:
    """Apply a merge patch to the fields of an item that belong to users, and return the item.

    Raises:
        NotFoundError: no such item.
        RefusedError: the patch touches managed fields or makes the item invalid; the item is as it was.
    """

    def decide() -> ChangeSet:
        before = find(services.catalog, name)
        after = patches.apply_patch(before, change)
        services.validator.require(after)
        return to_edit(before, after)

    road.apply(services.catalog, decide)
    return find(services.catalog, name)

"""Bringing published families to the newest schema version, in every collection by the same call.

What a migration is stands in ``domain.migrations``; a migration here is a recompute that removes nothing.
"""

from fair_dagster.domain import items
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.flows.publication import families, releases
from fair_dagster.flows.services import Services


def migrate_family(services: Services, collection: str, slug: str) -> ChangeSet:
    """Write the items of a family that follow a former schema version as the newest wants them.

    Items whose ZenML version is gone are migrated as they are: removing them is for those who react to deletions. What
    users wrote stays. A family that is as it should be is not written.

    Raises:
        RefusedError: an item cannot be migrated, or would not be valid; the family is as it was.
    """
    if collection == items.LOCAL_MODELS:
        return families.recompute(services, slug, keep_gone=True)
    return releases.republish(services, collection, slug)

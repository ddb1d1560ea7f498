"""Validation of a whole collection."""

from fair_dagster.domain import items
from fair_dagster.flows.catalog import validate_collection
from tests.flows.reconciliation.drifting import path_of
from tests.installations import MODEL, NAME, Installation


def test_a_broken_link_is_told_unless_the_drift_report_tells_it(installation: Installation) -> None:
    installation.promote(installation.trained())
    path_of(installation, items.BASE_MODELS, MODEL).unlink()
    (with_links,) = validate_collection(
        installation.services.catalog, installation.services.validator, items.LOCAL_MODELS
    )
    assert with_links.item == f"{NAME}-v1"
    assert with_links.problems == (f"link 'derived_from' leads to base-models/{MODEL}, which is not there",)
    (without,) = validate_collection(
        installation.services.catalog, installation.services.validator, items.LOCAL_MODELS, links=False
    )
    assert without.problems == ()

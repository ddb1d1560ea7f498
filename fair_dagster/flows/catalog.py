"""Looking at a whole collection: what it holds, is every item valid, does every link lead somewhere."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.catalog.validation.validator import KINDS
from fair_dagster.domain import items
from fair_dagster.domain.items.damage import REPAIR
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.findings import broken_links
from fair_dagster.flows.services import Services

if TYPE_CHECKING:
    from fair_dagster.catalog.validation.validator import Validator


@dataclass(frozen=True)
class CheckedItem:
    """What is wrong with one item; no problems means it is whole."""

    item: str
    problems: tuple[str, ...]
    not_checked: tuple[str, ...]


def listing(
    catalog: CatalogStore, collection: str, tell: Callable[[str], None], *, all_versions: bool = False
) -> list[Item]:
    """The items of ``collection``, active or all. Those that cannot be read are told and left out."""
    scan = catalog.scan(collection)
    for damaged in scan.damaged:
        tell(f"{damaged.key} cannot be read and is left out: {damaged.problem}. {REPAIR}")
    return [item for item in scan.items if all_versions or items.is_active(item)]


def validate_catalog(services: Services, *, strict: bool = False) -> dict[str, list[CheckedItem]]:
    """``validate_collection`` of each, by name."""
    return {
        name: validate_collection(services.catalog, services.validator, name, strict=strict)
        for name in items.COLLECTIONS
    }


def validate_collection(
    catalog: CatalogStore, validator: "Validator", collection: str, *, strict: bool = False, links: bool = True
) -> list[CheckedItem]:
    """Validate every item of ``collection``: schemas, rules and links to other items.

    Args:
        links: look where links between items lead; the drift report does so as well.
    """
    scan = catalog.scan(collection)
    broken: dict[str, list[str]] = {}
    if links:
        known = {name: frozenset(catalog.ids(name)) for name in items.COLLECTIONS}
        for finding in broken_links(scan.items, known):
            broken.setdefault(finding.item, []).append(finding.detail)
    checked = [CheckedItem(one.key.id, (f"its file cannot be read: {one.problem}",), ()) for one in scan.damaged]
    for item in scan.items:
        report = validator.validate(item, kind=KINDS[collection], strict=strict)
        problems = (*report.problems, *broken.get(item["id"], ()))
        checked.append(CheckedItem(item["id"], problems, report.not_checked))
    return checked

"""Looking at a whole collection: what it holds, is every item valid, does every link lead somewhere."""

from collections.abc import Callable
from dataclasses import dataclass

from fair_dagster.domain import items
from fair_dagster.domain.changes import Item, ItemKey
from fair_dagster.domain.damage import REPAIR
from fair_dagster.domain.links import key_of
from fair_dagster.flows.services import KINDS, Services


@dataclass(frozen=True)
class Finding:
    """What is wrong with one item; no problems means it is whole."""

    item: str
    problems: tuple[str, ...]
    not_checked: tuple[str, ...]


def listing(
    services: Services, collection: str, tell: Callable[[str], None], *, all_versions: bool = False
) -> list[Item]:
    """The items of ``collection``, active or all. Those that cannot be read are told and left out."""
    scan = services.catalog.scan(collection)
    for damaged in scan.damaged:
        tell(f"{damaged.key} cannot be read and is left out: {damaged.problem}. {REPAIR}")
    return [item for item in scan.items if all_versions or items.is_active(item)]


def validate_catalog(services: Services, *, strict: bool = False) -> dict[str, list[Finding]]:
    """``validate_collection`` of each, by name."""
    return {name: validate_collection(services, name, strict=strict) for name in items.COLLECTIONS}


def validate_collection(services: Services, collection: str, *, strict: bool = False) -> list[Finding]:
    """Validate every item of ``collection``: schemas, rules and links to other items."""
    known = {name: frozenset(services.catalog.ids(name)) for name in items.COLLECTIONS}
    scan = services.catalog.scan(collection)
    findings = [Finding(one.key.id, (f"its file cannot be read: {one.problem}",), ()) for one in scan.damaged]
    for item in scan.items:
        report = services.validator.validate(item, kind=KINDS[collection], strict=strict)
        broken = [f"link {rel!r} leads to {target}, which is not there" for rel, target in _broken(item, known)]
        findings.append(Finding(item["id"], (*report.problems, *broken), report.not_checked))
    return findings


def _broken(item: Item, known: dict[str, frozenset[str]]) -> list[tuple[str, ItemKey]]:
    linked = [(str(link.get("rel")), key_of(str(link.get("href", "")))) for link in item["links"]]
    return [(rel, key) for rel, key in linked if key is not None and key.id not in known.get(key.collection, ())]

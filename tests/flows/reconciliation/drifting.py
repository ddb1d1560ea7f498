"""What tests of reconciliation do to an installation, and ask of it."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from fair_dagster.domain import items
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.publication.findings import Done, Finding
from fair_dagster.flows.reconciliation.repair import repair
from fair_dagster.flows.reconciliation.report import DriftRequest, report
from tests.installations import Installation


def kinds(installation: Installation, ask: DriftRequest | None = None) -> set[tuple[str, str]]:
    return {(finding.item, finding.kind) for finding in found(installation, ask)}


def found(installation: Installation, ask: DriftRequest | None = None) -> list[Finding]:
    return report(installation.services, ask)


def repaired(installation: Installation) -> list[Done]:
    done = repair(installation.services, report(installation.services))
    assert [str(one) for one in done if one.failed] == []
    assert found(installation) == []
    assert repair(installation.services, report(installation.services)) == []
    return done


def snapshot(installation: Installation) -> dict[str, Item]:
    """All items, but for the time of their last update."""
    everything = {}
    for collection in items.COLLECTIONS:
        for item in installation.services.catalog.items(collection):
            item["properties"].pop("updated", None)
            item["links"].sort(key=str)
            everything[f"{collection}/{item['id']}"] = item
    return everything


def path_of(installation: Installation, collection: str, item_id: str) -> Path:
    return Path(installation.services.catalog.href(ItemKey(collection, item_id)))


def altered(path: Path, change: Callable[[Item], object]) -> None:
    item = json.loads(path.read_text())
    change(item)
    path.write_text(json.dumps(item))


def aged(installation: Installation) -> Path:
    root = installation.services.settings.artifacts_path
    old = time.time() - 7200
    for path in (root, *root.rglob("*")):
        os.utime(path, (old, old))
    return root


def files_of(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file()}

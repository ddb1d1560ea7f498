"""What reconciliation costs: recompute and diff of many families in memory, without catalog and ZenML.

    python -m benchmarks.reconciliation [--json] [--sizes 100,1000,10000]

A family has four versions that were promoted one after the other. Of every hundredth family one managed field is
altered, so that the difference is looked at as well. Building the items is not part of the time; computing what they
should be is: content of each version from its ZenML record and its parents, releases, links, difference, findings.
"""

import copy
import time
from collections.abc import Sequence

import click

from benchmarks.report import Budget, Report, Row, Table, note, show
from fair_dagster.domain import items
from fair_dagster.domain.items.artifacts import PublishedArtifact
from fair_dagster.domain.items.coverage import Knowledge
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.desired import desired_items, local_family
from fair_dagster.domain.publication.drift import diff
from fair_dagster.domain.publication.findings import Finding, family_findings
from fair_dagster.domain.publication.promoted_items import MODEL_ASSET, local_item
from fair_dagster.domain.requests import PROMOTION_KEY, FinetuneRequest
from fair_dagster.domain.versions import VersionRecord
from tests.factories import KNOWLEDGE, base_model, dataset, version

SIZES = (100, 1_000, 10_000)
VERSIONS = 4
SECONDS = 10.0
_PARENTS = (base_model(), dataset())


def measure(sizes: Sequence[int] = SIZES) -> Report:
    """The report over catalogs of ``sizes`` families."""
    rows = []
    for size in sizes:
        note(f"{size:,} families …")
        rows.append(_row(size))
    largest = rows[-1]
    budget = Budget(f"recompute and diff of {largest['families']:,} families", largest["seconds"], SECONDS, unit="s")
    notes = ["Per family the time should stay the same: each is computed by itself."]
    return Report("reconciliation", [Table("Recompute and diff in memory", rows)], [budget], notes)


def _row(size: int) -> Row:
    families = [_family(f"model-{number}") for number in range(size)]
    for published, _ in families[::100]:
        published[0]["properties"]["license"] = "altered"
    started = time.perf_counter()
    found = [finding for published, versions in families for finding in _judged(published, versions)]
    seconds = time.perf_counter() - started
    return {
        "families": size,
        "versions": size * VERSIONS,
        "findings": len(found),
        "seconds": seconds,
        "ms a family": seconds / size * 1000,
    }


def _family(slug: str) -> tuple[list[Item], list[VersionRecord]]:
    versions = [
        version(number, "production" if number == VERSIONS else "archived", slug, **{PROMOTION_KEY: number})
        for number in range(1, VERSIONS + 1)
    ]
    return copy.deepcopy(desired_items(local_family(slug, versions, [], _content))), versions


def _judged(published: Sequence[Item], versions: Sequence[VersionRecord]) -> list[Finding]:
    family = local_family(versions[0].name, versions, published, _content)
    return family_findings(published, diff(published, desired_items(family)), {one.id: one.uuid for one in versions})


def _content(record: VersionRecord, knowledge: Knowledge = KNOWLEDGE) -> Item:
    request = FinetuneRequest.of(record)
    assert request is not None
    artifacts = {MODEL_ASSET: PublishedArtifact(f"/artifacts/{items.LOCAL_MODELS}/{record.id}/model.onnx", 1, "1220")}
    return local_item(record, request, *_PARENTS, artifacts, knowledge=knowledge)


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--sizes", default=",".join(map(str, SIZES)), show_default=True, help="Families, smallest first.")
def main(as_json: bool, sizes: str) -> None:
    raise SystemExit(show(measure([int(size) for size in sizes.split(",")]), as_json=as_json))


if __name__ == "__main__":
    main()

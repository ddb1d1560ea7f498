"""Reconciliation with Dagster's partitions: their keys go into the report, and a repair adds and deletes them.

What is compared and repaired in the catalog stands in ``flows``, which does not know Dagster.
"""

from collections.abc import Sequence

import dagster as dg

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items
from fair_dagster.domain.publication.findings import Done, Finding, Partitions, without_mass_deletion
from fair_dagster.domain.slugs import split_version_id
from fair_dagster.flows.base_models.registration import slug_of_folder, usable_folders
from fair_dagster.flows.reconciliation.repair import repair
from fair_dagster.flows.reconciliation.report import DriftRequest, Progress, no_progress, report
from fair_dagster.flows.services import Services
from fair_dagster.orchestration import keys
from fair_dagster.settings import Settings

_PARTITION_KINDS = frozenset({"partition without item", "item without partition"})


def partitions_of(settings: Settings, instance: dg.DagsterInstance) -> Partitions:
    """The keys of all partition sets of the base models that have assets here."""
    slugs = [slug_of_folder(folder) for folder in usable_folders(settings.models)]
    return Partitions(
        datasets=frozenset(instance.get_dynamic_partitions(keys.DATASETS_PARTITIONS_NAME)),
        finetunes={slug: frozenset(instance.get_dynamic_partitions(keys.finetunes_name(slug))) for slug in slugs},
    )


def drift(
    services: Services,
    instance: dg.DagsterInstance,
    *,
    collections: Sequence[str] = items.COLLECTIONS,
    checksums: bool = True,
    progress: Progress = no_progress,
) -> list[Finding]:
    """The report with partitions."""
    # Keys are read first: a version that is allocated meanwhile is then in ZenML and not yet among the keys.
    ask = DriftRequest(collections, checksums, partitions_of(services.settings, instance))
    return report(services, ask, progress)


def reconcile(
    services: Services,
    instance: dg.DagsterInstance,
    findings: Sequence[Finding],
    progress: Progress = no_progress,
    *,
    all_deleted: bool = False,
) -> list[Done]:
    """Repair what was found, partitions included.

    Args:
        all_deleted: remove local models although ZenML has none of their versions.
    """
    refusal = ""
    if not all_deleted:
        findings, refusal = without_mass_deletion(findings, services.catalog.ids(items.LOCAL_MODELS))
    done = repair(services, findings, progress)
    for finding in findings:
        if finding.kind in _PARTITION_KINDS:
            done += _partition(services.catalog, instance, finding)
    return done + ([Done(items.LOCAL_MODELS, "", "not repaired", refusal, failed=True)] if refusal else [])


def _partition(catalog: CatalogStore, instance: dg.DagsterInstance, finding: Finding) -> list[Done]:
    is_dataset = finding.collection == items.DATASETS
    name = keys.DATASETS_PARTITIONS_NAME if is_dataset else keys.finetunes_name(finding.target)
    if finding.kind == "item without partition":
        instance.add_dynamic_partitions(name, [finding.item])
        return [Done(finding.collection, finding.item, "partition added", finding.detail)]
    # The item that was to go may still be there, and the one that was missing may be back.
    present = catalog.ids(finding.collection)
    if finding.item in present or (is_dataset and finding.item in {split_version_id(one)[0] for one in present}):
        return []
    instance.delete_dynamic_partition(name, finding.item)
    return [Done(finding.collection, finding.item, "partition deleted", finding.detail)]

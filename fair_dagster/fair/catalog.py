"""The catalog as a whole: validated, compared with what it should be, repaired, moved to another place."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fair_dagster.domain.publication.findings import Done, Finding
from fair_dagster.fair.part import Part
from fair_dagster.flows import catalog as catalog_flow

if TYPE_CHECKING:
    import pandas as pd

    from fair_dagster.domain.moving import Mode
    from fair_dagster.flows.moving import Moved
    from fair_dagster.flows.reconciliation.report import Progress


@dataclass(frozen=True)
class Reconciled:
    """What a repair did, and what remains to be looked at."""

    done: tuple[Done, ...]
    remaining: tuple[Finding, ...]


class Catalog(Part):
    """What ``Fair`` does with the whole catalog."""

    def refresh_collections(self) -> None:
        """Recompute the collection documents from their items, and check every item: an asset check a collection."""
        from fair_dagster.orchestration import keys

        self._execute(keys.COLLECTIONS_JOB)

    def drift(self, *, checksums: bool = True, progress: "Progress | None" = None) -> "pd.DataFrame":
        """What differs from what it should be, a row a finding: collection, item, kind, detail, repair, family.

        Nothing is changed, and no run is recorded.

        Args:
            checksums: read every artifact; without, only sizes are compared.
            progress: called with how much is done, how much there is, and of what.
        """
        from fair_dagster.flows.reconciliation.report import no_progress, table
        from fair_dagster.orchestration import reconciliation
        from fair_dagster.orchestration.instance import open_instance

        with open_instance(self.settings) as instance:
            return table(
                reconciliation.drift(self.services, instance, checksums=checksums, progress=progress or no_progress)
            )

    def reconcile(
        self, *, checksums: bool = True, all_deleted: bool = False, progress: "Progress | None" = None
    ) -> Reconciled:
        """Repair what ``drift`` finds, and look again; works without a daemon, and records no run.

        Args:
            all_deleted: allow to remove every local model, where ZenML has none of their versions.
        """
        from fair_dagster.flows.reconciliation.report import no_progress
        from fair_dagster.orchestration import reconciliation
        from fair_dagster.orchestration.instance import open_instance

        watch = progress or no_progress
        with open_instance(self.settings) as instance:
            found = reconciliation.drift(self.services, instance, checksums=checksums, progress=watch)
            done = reconciliation.reconcile(self.services, instance, found, watch, all_deleted=all_deleted)
            remaining = (
                reconciliation.drift(self.services, instance, checksums=checksums, progress=watch) if found else []
            )
        return Reconciled(tuple(done), tuple(remaining))

    def validate_catalog(self, *, strict: bool = False) -> dict[str, list[catalog_flow.CheckedItem]]:
        """What is wrong with each item, by collection.

        Args:
            strict: a schema that cannot be had is a problem.
        """
        return catalog_flow.validate_catalog(self.services, strict=strict)

    def export_catalog(self, folder: Path, mode: "Mode" = "empty", *, progress: "Progress | None" = None) -> "Moved":
        """Copy the catalog into ``folder`` as JSON files and compare; ``mode`` says what may be there already.

        Raises:
            RefusedError: the catalog is damaged, or ``folder`` holds something else; nothing was written.
        """
        from fair_dagster.flows.moving import export_catalog

        return export_catalog(self.settings, folder, mode, progress)

    def import_catalog(self, folder: Path, mode: "Mode" = "empty", *, progress: "Progress | None" = None) -> "Moved":
        """Load the JSON catalog in ``folder`` into the catalog and compare; otherwise as ``export_catalog``."""
        from fair_dagster.flows.moving import import_catalog

        return import_catalog(self.settings, folder, mode, progress)

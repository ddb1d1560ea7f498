"""What every part of ``Fair`` shares: the clients of the installation, and how a run of Dagster is executed.

What a part does for its users stands in a module of its own.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fair_dagster.domain.items.stac import Item
from fair_dagster.flows import catalog as catalog_flow
from fair_dagster.flows.services import Services
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from fair_dagster.orchestration.runs.launches import Launch
    from fair_dagster.orchestration.runs.started import Started

Tell = Callable[[str], None]
"""Takes a remark for people."""


class Part:
    """A concern of an installation.

    Args:
        services: the clients of the installation.
        tell: takes remarks; by default they are warnings.
    """

    def __init__(self, services: Services, tell: Tell = warnings.warn) -> None:
        self.services = services
        self._tell = tell

    @property
    def settings(self) -> Settings:
        """How the installation is reached."""
        return self.services.settings

    def _execute(
        self,
        job: str,
        *,
        partition: str | None = None,
        config: Mapping[str, Any] | None = None,
        assets: Sequence[Sequence[str]] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Execute a job in this process and wait for it. Errors of the job come out as they are."""
        from fair_dagster.orchestration.runs.launches import Launch, require_definitions

        require_definitions(job)
        # Dagster takes a second to import: reads do without it.
        from fair_dagster.definitions import build_defs
        from fair_dagster.orchestration.runs.execution import execute

        launch = Launch(job, partition=partition, config=config or {}, assets=assets, tags=tags or {})
        execute(self.settings, launch, build_defs)

    def _start(self, launch: "Launch", subject: str) -> "Started":
        """Start a process that executes ``launch`` and outlives this one.

        Raises:
            StorageError: the files of the run cannot be written.
            RefusedError: this installation has no definitions.
        """
        from fair_dagster.orchestration.runs.launches import require_definitions

        require_definitions(launch.job)
        from fair_dagster.fair import process
        from fair_dagster.orchestration.runs.execution import start
        from fair_dagster.orchestration.runs.started import Started

        return Started(launch.run_id, subject, self.services, start(self.settings, launch, process.__name__))

    def _items(self, collection: str, all_versions: bool) -> list[Item]:
        """The active items of a collection, or all; what cannot be read is left out, and a remark says so."""
        return catalog_flow.listing(self.services.catalog, collection, self._tell, all_versions=all_versions)

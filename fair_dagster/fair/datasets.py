"""Datasets: chips and labels that models are finetuned on, described as STAC items and registered."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fair_dagster.domain import items
from fair_dagster.domain.errors import FairError
from fair_dagster.domain.items.stac import Item
from fair_dagster.fair.part import Part
from fair_dagster.flows import datasets as dataset_flow
from fair_dagster.flows import items as item_flow
from fair_dagster.flows.datasets import DatasetSpec

if TYPE_CHECKING:
    from fair_dagster.imagery.synthesize import SyntheticDataset


class Datasets(Part):
    """What ``Fair`` does with datasets."""

    def create_dataset(self, spec: DatasetSpec, output: Path) -> Path:
        """Describe chips and labels as a STAC item and write it to ``output`` for ``register_dataset``.

        Raises:
            RefusedError: chips or labels cannot be used; every reason is named.
        """
        item = dataset_flow.create(self.services, spec)
        dataset_flow.write_item(item, output)
        return output

    def register_dataset(self, item_path: Path) -> Item:
        """Publish the dataset of a ``stac-item.json``, with a checksummed copy of its chips and labels.

        Raises:
            RefusedError: the item, its chips or its labels cannot be used; every reason is named.
        """
        slug = dataset_flow.check(self.services.validator, self.services.knowledge, item_path).slug
        from fair_dagster.orchestration import keys, run_config
        from fair_dagster.orchestration.instance import add_partition, delete_partition

        config = run_config.configure_dataset(item_path)
        added = add_partition(self.settings, keys.DATASETS_PARTITIONS_NAME, slug)
        try:
            self._execute(keys.DATASETS_JOB, partition=slug, config=config)
        except Exception:
            # The error that led here is the one to report: a disk that is full may refuse this as well.
            with suppress(FairError):
                if added:
                    delete_partition(self.settings, keys.DATASETS_PARTITIONS_NAME, slug)
            raise
        return self.dataset(slug)

    def datasets(self, *, all_versions: bool = False) -> list[Item]:
        """The registered datasets: the active version of each, or all."""
        return self._items(items.DATASETS, all_versions)

    def dataset(self, name: str) -> Item:
        """A registered dataset by its slug, or a former version by its id.

        Raises:
            NotFoundError: no such dataset.
        """
        return item_flow.find(self.services.catalog, name, (items.DATASETS,))

    def synthetic_town(self, folder: Path | None = None, *, chips: int = 24) -> "SyntheticDataset":
        """Draw a town that does not exist, to try things on; the same arguments give the same town.

        Args:
            folder: where chips and labels are written; ``demo-data`` under the home folder without.
            chips: labelled chips of 256 x 256 pixels, at least 2; a third as many without labels are drawn beside them.
        """
        from fair_dagster.imagery.synthesize import synthesize

        return synthesize(folder or self.settings.home / "demo-data", chips=chips)

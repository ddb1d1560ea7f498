"""Base models and datasets that are there and still cannot be used together."""

from collections.abc import Iterator

import pytest

from fair_dagster.domain import items
from fair_dagster.domain.errors import RefusedError
from fair_dagster.domain.items.stac import Item
from fair_dagster.fair import Fair
from fair_dagster.flows.datasets import DatasetSpec
from fair_dagster.flows.publication import releases
from fair_dagster.imagery.synthesize import SyntheticDataset
from tests.e2e.conftest import RAISING, ask, state_of


@pytest.fixture(scope="module")
def trees(fair: Fair, town: SyntheticDataset, tmp_path_factory: pytest.TempPathFactory) -> Item:
    keywords = ("tree", "object-detection", "polygon")
    spec = DatasetSpec("trees", town.train_chips, town.labels, keywords=keywords, synthetic=True)
    return fair.register_dataset(fair.create_dataset(spec, tmp_path_factory.mktemp("trees") / "item.json"))


@pytest.fixture
def retired(fair: Fair) -> Iterator[str]:
    releases.retire(fair.services, items.BASE_MODELS, RAISING)
    yield f"{RAISING}-v1"
    fair.register_base_model(RAISING)


def test_another_feature_and_another_task_are_refused_together(fair: Fair, trees: Item) -> None:
    before = state_of(fair)
    with pytest.raises(RefusedError, match=r"feature differs(.|\n)*task differs"):
        fair.finetune(ask("town-trees", dataset=trees["id"]))
    assert state_of(fair) == before


def test_a_retired_base_model_is_refused(fair: Fair, retired: str) -> None:
    before = state_of(fair)
    with pytest.raises(RefusedError, match="deprecated"):
        fair.finetune(ask("town-retired", base_model=retired))
    assert state_of(fair) == before

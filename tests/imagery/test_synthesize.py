"""The synthetic town: the same each time, labelled where its roofs are, and open about what it is."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import shapely

from fair_dagster.domain.errors import RefusedError
from fair_dagster.imagery.chips import find_chips, inspect_chips, read_chip, read_frame
from fair_dagster.imagery.labels import LabelIndex, check_labels, read_labels
from fair_dagster.imagery.synthesize import SyntheticDataset, synthesize


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> SyntheticDataset:
    return synthesize(tmp_path_factory.mktemp("town"), chips=6, size=128)


def _digest(folder: Path) -> str:
    content = [(path.relative_to(folder), path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()]
    return hashlib.sha256(repr(content).encode()).hexdigest()


def test_the_same_seed_gives_the_same_files_and_another_gives_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        synthesize(tmp_path / name, chips=2, size=64, seed=seed)

    assert _digest(tmp_path / "a") == _digest(tmp_path / "b") != _digest(tmp_path / "c")


def test_chips_and_labels_belong_together(town: SyntheticDataset) -> None:
    train, predict = inspect_chips(town.train_chips), inspect_chips(town.predict_chips)
    labels = read_labels(town.labels)

    assert train.sizes == {(128, 128): 6}
    assert predict.sizes == {(128, 128): 2}
    check_labels(labels, train.bbox)
    assert not {path.name for path in find_chips(town.train_chips)} & {
        path.name for path in find_chips(town.predict_chips)
    }


def test_roofs_look_unlike_the_ground_under_the_labels(town: SyntheticDataset) -> None:
    """Labels that were shifted against the pixels would make roof and ground look alike."""
    index = LabelIndex(read_labels(town.labels))
    inside, outside = [], []
    for path in find_chips(town.train_chips):
        chip = read_chip(path)
        mask = index.mask(chip) == 1
        brightness = chip.pixels.mean(axis=0)
        inside.append(brightness[mask])
        outside.append(brightness[~mask])

    assert np.concatenate(inside).mean() - np.concatenate(outside).mean() > 15


def test_buildings_cross_chip_borders(town: SyntheticDataset) -> None:
    labels = np.array([label.geometry for label in read_labels(town.labels)])
    chips = [shapely.box(*read_frame(path).bounds) for path in find_chips(town.train_chips)]

    assert (sum(shapely.intersects(labels, chip).astype(int) for chip in chips) > 1).any()


def test_it_says_that_it_is_synthetic(town: SyntheticDataset) -> None:
    document = json.loads(town.labels.read_text())

    assert document["synthetic"] is True
    assert all(feature["properties"]["synthetic"] for feature in document["features"])
    assert "Synthetic" in (town.labels.parents[1] / "README.txt").read_text()


def test_every_argument_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refusal:
        synthesize(tmp_path / "town", chips=1, size=7, zoom=3)

    assert len(refusal.value.problems) == 3
    assert not (tmp_path / "town").exists()

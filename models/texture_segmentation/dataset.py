"""From chips and labels to numbers: the spatial split, and pixels sampled for training.

Which pixels are looked at is decided here; what is computed of them stands in ``features``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fair_dagster.domain.errors import RefusedError
from fair_dagster.imagery.chips import chip_grid_position, find_chips, read_chip, read_frame
from fair_dagster.imagery.labels import LabelIndex, check_labels, read_labels
from fair_dagster.pipelines.inputs import local_input
from models.texture_segmentation.features import features_at

STRATEGY = "spatial_block"


@dataclass(frozen=True)
class Sample:
    """Pixels of some chips: ``features`` float32 [N, COUNT], ``targets`` uint8 [N] (1 is building)."""

    features: NDArray[np.float32]
    targets: NDArray[np.uint8]


def chip_paths(location: str) -> dict[str, Path]:
    """The chips of a folder by their path inside it, in order."""
    folder = local_input(location)
    base = folder if folder.is_dir() else folder.parent
    return {path.relative_to(base).as_posix(): path for path in find_chips(folder)}


def spatial_split(location: str, val_ratio: float) -> dict[str, Any]:
    """Divide chips into two blocks of whole columns: validation in the east, training in the rest.

    With neighbouring chips on both sides a score would measure memory of the place. Columns are counted in
    the grid of the chips; with a single column rows are taken, validation in the south.

    Raises:
        RefusedError: fewer than two chips, or one that cannot be placed (every such chip is named).
    """
    positions: dict[str, tuple[int, int]] = {}
    problems: list[str] = []
    for name, path in chip_paths(location).items():
        try:
            positions[name] = chip_grid_position(read_frame(path))
        except RefusedError as error:
            problems += [f"{name}: {problem}" for problem in error.problems]
    axis = 0 if len({column for column, _ in positions.values()}) > 1 else 1
    lines = np.array([position[axis] for position in positions.values()])
    if not problems and len(set(lines.tolist())) < 2:
        problems.append("the chips lie in one place; at least two columns or rows are needed to validate apart")
    if problems:
        raise RefusedError(f"chips {location}", problems)
    # The candidate whose share of chips comes nearest to what was asked for; each leaves both sides a chip.
    threshold = min(sorted(set(lines.tolist()))[1:], key=lambda line: (abs((lines >= line).mean() - val_ratio), -line))
    names = list(positions)
    train = [name for name, line in zip(names, lines, strict=True) if line < threshold]
    validation = [name for name, line in zip(names, lines, strict=True) if line >= threshold]
    return {
        "strategy": STRATEGY,
        "axis": ("column", "row")[axis],
        "threshold": int(threshold),
        "val_ratio": round(len(validation) / len(names), 4),
        "train_count": len(train),
        "val_count": len(validation),
        "train_chip_names": train,
        "val_chip_names": validation,
    }


def label_index(labels_location: str, chips: Sequence[Path]) -> LabelIndex:
    """The labels, after a check that they are polygons on these chips."""
    labels = read_labels(local_input(labels_location))
    bounds = np.array([read_frame(path).bounds for path in chips])
    bbox = [*bounds[:, :2].min(axis=0).tolist(), *bounds[:, 2:].max(axis=0).tolist()]
    check_labels(labels, bbox, subject=f"labels {labels_location}")
    return LabelIndex(labels)


def sample_pixels(chips: Sequence[Path], labels: LabelIndex, per_chip: int, seed: int) -> Sample:
    """``per_chip`` pixels of each chip, drawn evenly over the chip; the same seed draws the same ones."""
    features, targets = [], []
    for number, path in enumerate(chips):
        chip = read_chip(path)
        target = labels.mask(chip).ravel()
        rng = np.random.default_rng((seed, number))
        drawn = rng.choice(target.size, min(per_chip, target.size), replace=False)
        features.append(features_at(chip.pixels, *np.unravel_index(drawn, chip.pixels.shape[1:])))
        targets.append(target[drawn])
    return Sample(np.concatenate(features), np.concatenate(targets))

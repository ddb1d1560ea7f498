"""Makes the weights that ship with this folder, from synthetic towns and nothing else.

Run ``python -m models.texture_segmentation.pretrain``. The same versions of numpy and scikit-learn give the same
weights again; the seeds differ from the default of the generator, so that a demo predicts on an unseen town.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fair_dagster.imagery.chips import find_chips
from fair_dagster.imagery.labels import LabelIndex, read_labels
from fair_dagster.imagery.synthesize import synthesize
from models.texture_segmentation import classifier, onnx_graph
from models.texture_segmentation.dataset import Sample, sample_pixels

WEIGHTS = Path(__file__).resolve().parent / "weights"
CHECKPOINT, GRAPH = "checkpoint.skops", "model.onnx"
# (chips, size, seed): both chip sizes, because a window spans half as many metres on the larger.
TRAINING_TOWNS = ((16, 256, 101), (16, 256, 102), (8, 512, 103))
VALIDATION_TOWNS = ((8, 256, 104),)
HYPERPARAMETERS = {"epochs": 12, "learning_rate": 0.05, "l2": 1e-5, "seed": 7}
PIXELS_PER_CHIP = 4000


def pretrain() -> tuple[classifier.TrainedModel, classifier.LossHistory]:
    """Fit on synthetic towns; nothing is written outside a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="fair-pretrain-") as scratch:
        train, validation = (
            _sample(Path(scratch) / name, towns)
            for name, towns in (("train", TRAINING_TOWNS), ("validation", VALIDATION_TOWNS))
        )
    return classifier.fit(train, validation, HYPERPARAMETERS)


def write(folder: Path = WEIGHTS) -> classifier.LossHistory:
    """Write ``checkpoint.skops`` and ``model.onnx`` into ``folder``."""
    model, history = pretrain()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CHECKPOINT).write_bytes(classifier.dump(model))
    (folder / GRAPH).write_bytes(onnx_graph.build(model))
    return history


def _sample(folder: Path, towns: Sequence[tuple[int, int, int]]) -> Sample:
    samples = []
    for chips, size, seed in towns:
        town = synthesize(folder / str(seed), chips=chips, size=size, seed=seed)
        labels = LabelIndex(read_labels(town.labels))
        samples.append(sample_pixels(find_chips(town.train_chips), labels, PIXELS_PER_CHIP, seed))
    return Sample(
        np.concatenate([sample.features for sample in samples]),
        np.concatenate([sample.targets for sample in samples]),
    )


def main() -> None:
    """Write the weights into this folder and say what the losses were."""
    import sys

    history = write()
    sys.stdout.write(f"{WEIGHTS}: log-loss {history.train[-1]:.4f}, on an unseen town {history.validation[-1]:.4f}\n")


if __name__ == "__main__":
    main()

"""The classifier: logistic regression by stochastic gradient descent, and how it is kept in a checkpoint.

Works on sampled features; chips, steps and ONNX belong elsewhere. The checkpoint is a skops file, which
unlike a pickle cannot run code when it is opened.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fair_dagster.domain.errors import RefusedError
from models.texture_segmentation.dataset import Sample
from models.texture_segmentation.features import CHANNELS, WINDOWS

logger = logging.getLogger(__name__)

EpochCallback = Callable[[int, int, Mapping[str, float]], None]
"""Is told how many epochs are done, how many there are, and the losses of the last one."""


@dataclass(frozen=True)
class TrainedModel:
    """Two scikit-learn pipelines of a StandardScaler and an SGDClassifier.

    ``texture`` takes all features, ``colour`` only the first three: it tells what colour alone would achieve.
    """

    texture: Any
    colour: Any
    windows: Sequence[int] = WINDOWS


@dataclass(frozen=True)
class LossHistory:
    """Mean log-loss on training and validation pixels after each epoch."""

    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)


def fit(
    train: Sample,
    validation: Sample,
    hyperparameters: Mapping[str, Any],
    *,
    start: TrainedModel | None = None,
    on_epoch: EpochCallback | None = None,
) -> tuple[TrainedModel, LossHistory]:
    """Fit both classifiers epoch by epoch; the same arguments give the same weights.

    Args:
        train: pixels that weights, standardisation and threshold are fitted to.
        validation: pixels whose loss is watched; nothing is fitted to them.
        hyperparameters: epochs, learning_rate, l2, seed.
        start: a model to go on from.
        on_epoch: is told epochs done and in total, and ``train_loss`` and ``val_loss``.

    Raises:
        RefusedError: the training pixels are all building, or none is.
    """
    if len(np.unique(train.targets)) < 2:
        kind = "building" if train.targets[0] else "background"
        raise RefusedError("training data", [f"every sampled pixel of the training chips is {kind}"])
    first = (start.texture, start.colour) if start else (None, None)
    texture, history = _fit_one((train, validation), hyperparameters, first[0], on_epoch or _silent)
    colours = tuple(Sample(sample.features[:, :CHANNELS], sample.targets) for sample in (train, validation))
    colour, _ = _fit_one(colours, hyperparameters, first[1], _silent)
    return TrainedModel(texture, colour), history


def dump(model: TrainedModel) -> bytes:
    """The model as the bytes of a skops file."""
    from skops.io import dumps

    content: bytes = dumps({"texture": model.texture, "colour": model.colour, "windows": list(model.windows)})
    return content


def load(content: bytes, source: str = "checkpoint") -> TrainedModel:
    """The model of a skops file.

    Raises:
        RefusedError: the file is none, or holds types that could run code.
    """
    from skops.io import get_untrusted_types, loads

    try:
        unknown = get_untrusted_types(data=content)
        state = {} if unknown else loads(content)
        if not unknown:
            return TrainedModel(state["texture"], state["colour"], tuple(state["windows"]))
    except Exception as error:  # skops and zipfile raise many kinds for one cause: not such a file
        raise RefusedError(source, [f"the file is no checkpoint of this model: {error}"]) from error
    raise RefusedError(source, [f"the checkpoint holds types that are not trusted: {', '.join(unknown)}"])


def load_start(path: Path | None) -> TrainedModel | None:
    """The model to go on from; None where there is no file, or where it has other features.

    Raises:
        RefusedError: ``path`` names a file that is missing or no checkpoint.
    """
    if path is None:
        return None
    if not path.is_file():
        raise RefusedError(f"base model weights {path}", ["there is no such file"])
    model = load(path.read_bytes(), f"base model weights {path}")
    if tuple(model.windows) != WINDOWS:
        logger.warning("The weights were made for windows %s: training starts afresh", list(model.windows))
        return None
    return model


def building_probability(model: Any, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probability of building for features [N, F] by one of the two pipelines, float64 [N]."""
    probability: NDArray[np.float64] = model.predict_proba(features.astype(np.float64))[:, 1]
    return probability


def _fit_one(
    samples: tuple[Sample, ...],
    hyperparameters: Mapping[str, Any],
    start: Any,
    on_epoch: EpochCallback,
) -> tuple[Any, LossHistory]:
    from sklearn.linear_model import SGDClassifier
    from sklearn.metrics import log_loss
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, validation = samples
    history = LossHistory()
    epochs, rate = int(hyperparameters["epochs"]), float(hyperparameters["learning_rate"])
    seed = int(hyperparameters["seed"]) % 2**31
    # Fitted anew on a warm start too: weights per standard deviation carry over to other sensors and seasons.
    scaler = StandardScaler().fit(train.features.astype(np.float64))
    scaled, watched = (scaler.transform(s.features.astype(np.float64)) for s in (train, validation))
    classifier = SGDClassifier(
        loss="log_loss",
        alpha=float(hyperparameters["l2"]),
        learning_rate="constant",
        eta0=rate,
        random_state=seed,
    )
    if start is not None:
        _adopt(classifier, start[-1])
    for epoch in range(epochs):
        # Falls to almost nothing: the last steps average out what single pixels do to the weights.
        # Each epoch shuffles by a seed of its own.
        classifier.set_params(eta0=rate * (1 - epoch / epochs) ** 2, random_state=seed + epoch)
        classifier.partial_fit(scaled, train.targets, classes=[0, 1])
        for losses, sample, inputs in ((history.train, train, scaled), (history.validation, validation, watched)):
            losses.append(float(log_loss(sample.targets, classifier.predict_proba(inputs), labels=[0, 1])))
        on_epoch(epoch + 1, epochs, {"train_loss": history.train[-1], "val_loss": history.validation[-1]})
    # The probability 0.5 is put where the IoU of the training pixels is highest.
    classifier.intercept_ -= best_threshold(classifier.decision_function(scaled), train.targets)
    return make_pipeline(scaler, classifier), history


def _silent(_done: int, _total: int, _losses: Mapping[str, float]) -> None:
    """For what nobody waits for."""


def _adopt(classifier: Any, start: Any) -> None:
    """Give an unfitted classifier the weights of a fitted one as its first guess."""
    classifier.partial_fit(np.zeros((2, start.coef_.shape[1])), [0, 1], classes=[0, 1])
    classifier.coef_[:] = start.coef_
    classifier.intercept_[:] = start.intercept_


def best_threshold(scores: NDArray[np.float64], targets: NDArray[np.uint8]) -> float:
    """The score above which calling a pixel building gives the highest IoU on these pixels."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(targets[order], dtype=np.int64)
    called = np.arange(1, len(scores) + 1)
    iou = hits / (called + hits[-1] - hits)
    return float(scores[order][int(np.argmax(iou))])

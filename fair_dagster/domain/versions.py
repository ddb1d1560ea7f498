"""A version of a finetuned model as ZenML keeps it, and what its metadata says about the training.

Pure data: ``pipelines.model_versions`` fills the records, ``publication`` decides from them. The keys
are those of fAIr's contributors (``fair/<metric>``, ``fair/split``), so that their folders read like ours.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from fair_dagster.domain.errors import NotFoundError
from fair_dagster.domain.slugs import split_version_id, version_id

Stage = Literal["none", "staging", "production", "archived"]
STAGES: tuple[Stage, ...] = ("none", "staging", "production", "archived")

PREFIX = "fair/"
REQUEST_KEY = f"{PREFIX}request"
SPLIT_KEY = f"{PREFIX}split"
WALL_SECONDS_KEY = f"{PREFIX}training_wall_seconds"
LOSS_HISTORY_KEY = f"{PREFIX}loss_history"
NOT_METRICS = frozenset({REQUEST_KEY, SPLIT_KEY, WALL_SECONDS_KEY, LOSS_HISTORY_KEY})

MODEL_ARTIFACTS = ("trained_model", "trained_model_artifact")
"""Names under which the trained weights are found; the first is ours, both are in the wild."""
ONNX_ARTIFACT = "onnx_model"


@dataclass(frozen=True)
class TrainingRecord:
    """What a training left behind.

    Attributes:
        metrics: numbers by name; a nested mapping is flattened to ``<name>/<key>``. NaN and infinity are
            left out: JSON cannot hold them.
        split: how training and validation were separated, as the pipeline said it; empty when it did not.
        wall_seconds: duration of the fit itself, in seconds.
        loss_history: ``train_loss`` and ``val_loss``, one number an epoch; empty when not logged.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=dict)
    wall_seconds: float | None = None
    loss_history: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class VersionRecord:
    """One ZenML model version.

    Attributes:
        number: ZenML's number; it is used again after the highest version was deleted, so ``uuid`` is
            the identity.
        stage: ZenML's stage; a version that was never staged is ``none``.
        created, updated: aware, in UTC. Stage and tag changes move ``updated``, metadata does not.
        metadata: what was logged on the version, by key.
        artifacts: URI in the artifact store by artifact name.
        run_ids: UUIDs of the ZenML runs that belong to it, oldest first.
    """

    name: str
    number: int
    uuid: str
    stage: Stage
    created: datetime
    updated: datetime
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    artifacts: Mapping[str, str] = field(default_factory=dict)
    run_ids: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Partition key and STAC item id: ``<name>-v<number>``."""
        return version_id(self.name, self.number)

    @property
    def request(self) -> dict[str, Any] | None:
        """The finetune request that the version was allocated for; None for one made outside."""
        request = self.metadata.get(REQUEST_KEY)
        return dict(request) if isinstance(request, Mapping) else None

    @property
    def training(self) -> TrainingRecord:
        return read_training(self.metadata)

    @property
    def model_uri(self) -> str | None:
        """URI of the trained weights; None when the run did not get that far."""
        return next((self.artifacts[name] for name in MODEL_ARTIFACTS if name in self.artifacts), None)

    @property
    def onnx_uri(self) -> str | None:
        return self.artifacts.get(ONNX_ARTIFACT)


def stage_of(text: str | None) -> Stage:
    """ZenML's stage as ours: None and anything unknown to us count as ``none``."""
    return next((stage for stage in STAGES if stage == text), "none")


def read_training(metadata: Mapping[str, Any]) -> TrainingRecord:
    """Read what was logged under ``fair/``. Values of an unexpected type are left out, never an error."""
    split = metadata.get(SPLIT_KEY)
    return TrainingRecord(
        metrics=_metrics(metadata),
        split=dict(split) if isinstance(split, Mapping) else {},
        wall_seconds=_number(metadata.get(WALL_SECONDS_KEY)),
        loss_history=_loss_history(metadata.get(LOSS_HISTORY_KEY)),
    )


def _metrics(metadata: Mapping[str, Any]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for key, value in metadata.items():
        if not key.startswith(PREFIX) or key in NOT_METRICS:
            continue
        name = key.removeprefix(PREFIX)
        nested = value.items() if isinstance(value, Mapping) else ()
        candidates = {f"{name}/{inner}": number for inner, number in nested} or {name: value}
        for candidate, raw in candidates.items():
            number = _number(raw)
            if number is not None:
                metrics[candidate] = number
    # ZenML gives them in no order, and people compare versions by eye.
    return dict(sorted(metrics.items()))


def _loss_history(value: Any) -> dict[str, tuple[float, ...]]:
    if not isinstance(value, Mapping):
        return {}
    series = {}
    for name in ("train_loss", "val_loss"):
        raw = value.get(name)
        if isinstance(raw, list | tuple):
            # A diverged loss stays in the series as NaN: dropping it would shift the epochs.
            series[name] = tuple(float(number) if _is_number(number) else math.nan for number in raw)
    return series


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    return float(value) if _is_number(value) and math.isfinite(value) else None


def named_version(version_id: str) -> tuple[str, int]:
    """Model name and number of ``<model>-v<number>``.

    Raises:
        NotFoundError: it names no version.
    """
    name, number = split_version_id(version_id)
    if number is None:
        raise NotFoundError(f"version {version_id!r}", ["a version is named <model>-v<number>, e.g. ramp-nepal-v3"])
    return name, number

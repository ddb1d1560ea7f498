"""What is to be sent next of what a training has reported. Pure: lines and numbers in, points out.

A metric keeps to the source that brought it first: a pipeline may log a loss by MLflow and by our helpers, and it must
not stand there twice.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

EVENTS = "events"
CONTRIBUTED = "mlflow"
_NOT_IN_NAMES = re.compile(r"[^\w\-./ ]", re.ASCII)


@dataclass(frozen=True)
class Point:
    """A number at a step (the epoch, from 1; 0 for what belongs to none) and a time in milliseconds since 1970."""

    name: str
    value: float
    step: int
    time: int


@dataclass(frozen=True)
class Position:
    """How far a training has been sent.

    Attributes:
        offset: bytes of the events that were read.
        sources: which source each metric keeps to.
        steps: the highest step of each metric.
        contributed: points of each metric that were read of the pipeline's own MLflow runs, by ``run/metric``.
    """

    offset: int = 0
    sources: Mapping[str, str] = field(default_factory=dict)
    steps: Mapping[str, int] = field(default_factory=dict)
    contributed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """What to send: points in order, tags, parameters, and the exported model where it is known."""

    points: tuple[Point, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    model: str | None = None


def read_events(content: bytes, position: Position) -> tuple[Batch, Position]:
    """What the events from ``position.offset`` on say. A line that is still being written waits for the next time."""
    whole = content[: content.rfind(b"\n") + 1]
    points: list[Point] = []
    tags: dict[str, str] = {}
    model: str | None = None
    position = replace(position, offset=position.offset + len(whole))
    for line in whole.splitlines():
        event = _event(line)
        if "result" in event:
            tags |= result_tags(event["result"])
            model = event.get("model") or model
        for found in (_logged(event), _series(event), _of_result(event)):
            new, position = keep_new(found, position, EVENTS, only_later=found is not None and "metrics" not in event)
            points += new
    return Batch(tuple(points), tags, {}, model), position


def keep_new(
    points: Iterable[Point], position: Position, source: str, *, only_later: bool = False
) -> tuple[list[Point], Position]:
    """The points that are to be sent.

    Args:
        only_later: points repeat what may have been told before; of each metric only steps beyond it are new.
    """
    sources, steps = dict(position.sources), dict(position.steps)
    kept = []
    for point in points:
        if sources.setdefault(point.name, source) != source:
            continue
        if only_later and point.step <= steps.get(point.name, -1):
            continue
        steps[point.name] = max(point.step, steps.get(point.name, -1))
        kept.append(point)
    return kept, replace(position, sources=sources, steps=steps)


def result_tags(result: Mapping[str, Any]) -> dict[str, str]:
    """What the runner's result says of where else the training can be found."""
    names = {"fair.zenml_run": "run_name", "fair.zenml_run_id": "run_id"}
    return {tag: str(result[key]) for tag, key in names.items() if result.get(key)}


def allowed_name(name: str) -> str:
    """``name`` as MLflow takes it."""
    return _NOT_IN_NAMES.sub("_", name)


def _event(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        # Cut off by a kill or a full disk.
        return {}
    return event if isinstance(event, dict) else {}


def _logged(event: Mapping[str, Any]) -> Sequence[Point]:
    step = event.get("step")
    return _scalars(event.get("metrics"), int(step) if isinstance(step, int) else 0, _time(event))


def _series(event: Mapping[str, Any]) -> Sequence[Point]:
    return _all_series(event.get("series"), _time(event))


def _of_result(event: Mapping[str, Any]) -> Sequence[Point]:
    """What came through ZenML; on another machine than the steps' it is all that there is."""
    result = event.get("result") or {}
    time = _time(event)
    scalars = dict(result.get("metrics") or {})
    if result.get("wall_seconds") is not None:
        scalars["training_wall_seconds"] = result["wall_seconds"]
    return (*_all_series(result.get("loss_history"), time), *_scalars(scalars, 0, time))


def _all_series(series: Any, time: int) -> Sequence[Point]:
    if not isinstance(series, Mapping):
        return ()
    return [
        Point(allowed_name(name), float("nan") if value is None else float(value), step, time)
        for name, values in series.items()
        for step, value in enumerate(values, start=1)
    ]


def _scalars(metrics: Any, step: int, time: int) -> Sequence[Point]:
    """Numbers by name; those of a nested mapping as ``<name>/<key>``, as ZenML's metadata is read."""
    if not isinstance(metrics, Mapping):
        return ()
    flat: dict[str, Any] = {}
    for name, value in metrics.items():
        flat |= (
            {f"{name}/{key}": inner for key, inner in value.items()} if isinstance(value, Mapping) else {name: value}
        )
    return [
        Point(allowed_name(name), float(value), step, time)
        for name, value in flat.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]


def _time(event: Mapping[str, Any]) -> int:
    try:
        return int(datetime.fromisoformat(str(event.get("time"))).timestamp() * 1000)
    except ValueError:
        return 0

"""Items, versions and runs as rows and documents. Pure: nothing is read or printed here."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fair_dagster.cli.terminal.cells import Few, Recent, Seconds, Short, cell, clock, duration, position_text
from fair_dagster.cli.terminal.tables import Column
from fair_dagster.domain import items
from fair_dagster.domain.items.links import DERIVED_FROM, VERSION_RELS, key_of
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.requests import FinetuneRequest
from fair_dagster.domain.versions import VersionRecord

if TYPE_CHECKING:
    from fair_dagster.fair import Followed, Run

Document = dict[str, Any]
Pairs = list[tuple[str, Any]]

ITEM_COLUMNS = (
    Column("id", whole=True),
    Column("version", right=True),
    Column("state"),
    Column("title"),
    Column("keywords"),
    Column("license"),
)
VERSION_COLUMNS = (
    Column("version", whole=True),
    Column("stage"),
    Column("base model"),
    Column("dataset"),
    Column("metrics"),
    Column("created"),
)
SYNC_COLUMNS = (
    Column("folder", whole=True),
    Column("result"),
    Column("commit", whole=True),
    Column("subject"),
)
RUN_COLUMNS = (
    Column("run", whole=True),
    Column("status"),
    Column("job"),
    Column("partition", whole=True),
    Column("started"),
    Column("duration", right=True),
)
HYPERPARAMETER_COLUMNS = (
    Column("hyperparameter", whole=True),
    Column("default", right=True),
    Column("type"),
    Column("range"),
)
METRICS_SHOWN = 2
"""Of a version in a list; ``version show`` and ``version compare`` have all."""
RUN_ID_SHOWN = 8
"""Commands take the beginning of a run's id; this much of a UUID tells the runs of a machine apart."""


def sync_rows(followed: "Iterable[Followed]") -> list[list[Any]]:
    return [
        [found.merge.folder, found.result, Short(found.merge.commit.sha, 10), found.merge.commit.subject]
        for found in followed
    ]


def item_row(item: Item) -> list[Any]:
    properties = item["properties"]
    return [
        item["id"],
        properties.get("version"),
        state(item),
        properties.get("title"),
        properties.get("keywords"),
        properties.get("license"),
    ]


def state(item: Item) -> str:
    return "active" if items.is_active(item) else "deprecated"


def item_pairs(item: Item) -> Pairs:
    """What a person wants to know of an item, without its long lists."""
    properties = item["properties"]
    links = item.get("links", [])
    return [
        ("id", item["id"]),
        ("collection", item.get("collection")),
        ("title", properties.get("title")),
        ("version", properties.get("version")),
        ("state", state(item)),
        ("description", properties.get("description")),
        ("keywords", properties.get("keywords")),
        ("license", properties.get("license")),
        ("tasks", properties.get("mlm:tasks") or properties.get("label:tasks")),
        ("classes", [found["name"] for found in items.classes(item)]),
        ("bbox", [f"{number:.5f}" for number in item.get("bbox") or []]),
        ("metrics", properties.get("fair:metrics")),
        *((rel, _targets(links, rel)) for rel in (DERIVED_FROM, *sorted(VERSION_RELS))),
        *((f"asset {key}", asset.get("href")) for key, asset in item.get("assets", {}).items()),
        *(
            (name, value)
            for name, value in properties.items()
            if f"properties.{name}" in properties.get("fair:patched", []) and name not in {"title", "description"}
        ),
    ]


def _targets(links: Iterable[Mapping[str, Any]], rel: str) -> list[str]:
    hrefs = [str(link["href"]) for link in links if link.get("rel") == rel]
    return [str(key_of(href) or href) for href in hrefs]


def hyperparameter_rows(item: Item) -> list[list[Any]]:
    """What ``--set`` takes for this model: name, default, type, range."""
    values: Mapping[str, Any] = item["properties"].get("mlm:hyperparameters", {})
    specs = {_plain_key(str(spec.get("key"))): spec for spec in item["properties"].get("fair:hyperparameters_spec", [])}
    rows = []
    for key, value in values.items():
        spec = specs.get(_plain_key(key), {})
        rows.append([key, value, spec.get("type"), _range(spec)])
    return rows


def _plain_key(key: str) -> str:
    return key.removeprefix(f"{items.TRAINING}.").removeprefix(f"{items.INFERENCE}.")


def _range(spec: Mapping[str, Any]) -> str:
    if spec.get("values"):
        return " | ".join(map(str, spec["values"]))
    low, high = spec.get("min"), spec.get("max")
    if low is None and high is None:
        return ""
    return f"{cell(low)} … {cell(high)}".strip()


def version_row(version: VersionRecord) -> list[Any]:
    request = FinetuneRequest.of(version)
    return [
        version.id,
        version.stage,
        request and f"{request.base_model} v{request.base_model_version}",
        request and f"{request.dataset} v{request.dataset_version}",
        Few(version.training.metrics, METRICS_SHOWN),
        version.created,
    ]


def version_pairs(version: VersionRecord) -> Pairs:
    request, training = FinetuneRequest.of(version), version.training
    parents: Pairs = []
    if request is not None:
        parents = [
            ("base model", f"{request.base_model} v{request.base_model_version}"),
            ("dataset", f"{request.dataset} v{request.dataset_version}"),
            ("set", request.overrides),
            ("title", request.title),
            ("description", request.description),
            ("user", request.user),
            ("rerun of", request.rerun_of),
        ]
    return [
        ("version", version.id),
        ("stage", version.stage),
        *parents,
        ("created", f"{clock(version.created)} UTC"),
        ("training", duration(training.wall_seconds)),
        *training.metrics.items(),
        ("split", {name: value for name, value in training.split.items() if not isinstance(value, list)}),
        ("ZenML version", version.uuid),
        ("ZenML runs", version.run_ids),
    ]


def version_document(version: VersionRecord) -> Document:
    request, training = FinetuneRequest.of(version), version.training
    return {
        "id": version.id,
        "name": version.name,
        "number": version.number,
        "uuid": version.uuid,
        "stage": version.stage,
        "created": version.created,
        "updated": version.updated,
        "request": version.request,
        "base_model": request and request.base_model,
        "dataset": request and request.dataset,
        "overrides": dict(request.overrides) if request else {},
        "rerun_of": request and request.rerun_of,
        "metrics": dict(training.metrics),
        "split": dict(training.split),
        "training_seconds": training.wall_seconds,
        "loss_history": {name: list(series) for name, series in training.loss_history.items()},
        "tags": list(version.tags),
        "run_ids": list(version.run_ids),
    }


def run_row(run: "Run", now: datetime) -> list[Any]:
    return [
        Short(run.id, RUN_ID_SHOWN),
        " ".join([run.status.lower(), position_text(run.progress)]).strip(),
        run.activity,
        run.partition or run.model,
        Recent(run.started, now),
        Seconds(run_seconds(run, now)),
    ]


def run_pairs(run: "Run", now: datetime) -> Pairs:
    return [
        ("run", run.id),
        ("status", run.status.lower()),
        ("job", run.job),
        ("partition", run.partition),
        ("model", run.model),
        ("progress", position_text(run.progress)),
        ("started", run.started and f"{clock(run.started)} UTC"),
        ("duration", duration(run_seconds(run, now))),
        ("process", None if run.finished else run.pid),
    ]


def run_document(run: "Run", now: datetime) -> Document:
    progress = None
    if run.progress is not None:
        progress = dict(zip(("done", "total", "what"), run.progress, strict=True))
    return {
        "id": run.id,
        "job": run.job,
        "status": run.status,
        "finished": run.finished,
        "partition": run.partition,
        "model": run.model,
        "started": run.started,
        "ended": run.ended,
        "seconds": run_seconds(run, now),
        "progress": progress,
    }


def run_seconds(run: "Run", now: datetime) -> float | None:
    """Duration in seconds, up to ``now`` while the run goes on; None before it started."""
    if run.started is None or (run.finished and run.ended is None):
        return None
    return ((run.ended or now) - run.started).total_seconds()


def metric_differences(first: VersionRecord, second: VersionRecord) -> Sequence[tuple[str, float | None, float | None]]:
    """Every metric of two versions: name, the value of each; None where one has no such metric."""
    ours, theirs = first.training.metrics, second.training.metrics
    names = [*ours, *(name for name in theirs if name not in ours)]
    return [(name, ours.get(name), theirs.get(name)) for name in names]

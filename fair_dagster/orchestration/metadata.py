"""What an operator sees on a materialization: links, tables, lineage and pictures as Dagster metadata."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.lineage.views import made_from
from fair_dagster.domain.publication.changes import ChangeSet
from fair_dagster.domain.requests import FinetuneRequest
from fair_dagster.flows import lineage
from fair_dagster.pipelines.filenames import PREVIEW_FILE

Metadata = dict[str, Any]


def item_metadata(catalog: CatalogStore, item: Item) -> Metadata:
    """An item's place, version, lineage and files."""
    key = ItemKey(item["collection"], item["id"])
    properties = item["properties"]
    files = [
        dg.TableRecord({"asset": name, "size": asset["file:size"], "href": str(asset["href"])})
        for name, asset in item["assets"].items()
        if "file:size" in asset
    ]
    metadata: Metadata = {
        "item": dg.MetadataValue.path(catalog.href(key)),
        "version": str(properties.get("version")),
        "deprecated": bool(properties.get("deprecated", False)),
        "lineage": dg.MetadataValue.md(lineage.item_markdown(catalog, item)),
    }
    if files:
        metadata["files"] = dg.MetadataValue.table(files)
    if metrics := properties.get("fair:metrics"):
        metadata |= metrics_metadata(metrics)
    return metadata


def metrics_metadata(metrics: Mapping[str, float]) -> Metadata:
    """A table of all metrics, and each as a number, which Dagster plots over partitions."""
    rows = [dg.TableRecord({"metric": name, "value": round(value, 4)}) for name, value in metrics.items()]
    numbers = {f"metric/{name}": dg.MetadataValue.float(float(value)) for name, value in metrics.items()}
    return {"metrics": dg.MetadataValue.table(rows), **numbers} if rows else {}


def changes_metadata(changes: ChangeSet) -> Metadata:
    """What a write did, a row a change with its reason."""
    rows = [
        dg.TableRecord({"action": change.action, "item": str(change.key), "reason": change.reason})
        for change in changes.changes
    ]
    if not rows:
        return {"changes": dg.MetadataValue.text("none: the catalog was as it should be")}
    return {"changes": dg.MetadataValue.table(rows)}


def picture(png: bytes, alt: str) -> dg.MarkdownMetadataValue:
    """A PNG shown in the UI itself, without a server that would have to serve it."""
    return dg.MetadataValue.md(f"![{alt}](data:image/png;base64,{base64.b64encode(png).decode()})")


def load_plotting() -> None:
    """Draw something once: the first plot of a process loads libraries and fonts for a second."""
    from fair_dagster.imagery.pictures import loss_plot

    loss_plot({"train_loss": (1.0, 0.5)})


def request_lineage(request: FinetuneRequest) -> Metadata:
    """The exact versions that a training starts from."""
    parents = {
        (items.BASE_MODELS, request.base_model): str(request.base_model_version),
        (items.DATASETS, request.dataset): str(request.dataset_version),
    }
    return {"lineage": dg.MetadataValue.md(made_from(parents))}


def tracking_metadata(tracking: Mapping[str, Any]) -> Metadata:
    """Where a training is tracked (``url``, ``run_id``), or the ``problem`` that kept it from there so far."""
    if url := tracking.get("url"):
        link = dg.MetadataValue.url(url) if url.startswith(("http://", "https://")) else dg.MetadataValue.text(url)
        return {"tracking": link, "tracking_run_id": str(tracking["run_id"])}
    problem = tracking.get("problem")
    return {"tracking": dg.MetadataValue.text(f"not sent yet: {problem}")} if problem else {}


def training_metadata(result: Mapping[str, Any], folder: Path, request: FinetuneRequest) -> Metadata:
    """What a training left: parents, run, times, metrics, loss plot, a prediction over imagery."""
    from fair_dagster.imagery.pictures import loss_plot

    metadata: Metadata = {
        **request_lineage(request),
        "zenml_run": str(result.get("run_name", "")),
        "zenml_run_id": str(result.get("run_id", "")),
        "files": dg.MetadataValue.path(str(folder)),
    }
    if result.get("wall_seconds") is not None:
        metadata["training_seconds"] = dg.MetadataValue.float(float(result["wall_seconds"]))
    metadata |= metrics_metadata(result.get("metrics") or {})
    if history := result.get("loss_history"):
        metadata["loss"] = picture(loss_plot(history), "loss by epoch")
    preview = folder / PREVIEW_FILE
    if preview.is_file():
        metadata["prediction"] = picture(preview.read_bytes(), "prediction over imagery")
    return metadata

"""Reading what lineage is made of: items, versions in ZenML, and the predictions that this installation has run.

What the graph is and looks like stands in ``domain.lineage`` and ``domain.lineage_views``.

See docs/decisions/0018.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items
from fair_dagster.domain.errors import CatalogError, NotFoundError, RefusedError
from fair_dagster.domain.items.entries import Entry
from fair_dagster.domain.items.stac import Item, ItemKey
from fair_dagster.domain.lineage import graph as graphs
from fair_dagster.domain.lineage import views
from fair_dagster.domain.lineage.graph import Lineage, Node, PredictionNode
from fair_dagster.domain.lineage.staleness import Stale, parents_of, stale_models
from fair_dagster.domain.slugs import slug_problems, split_version_id
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.flows import items as item_flow
from fair_dagster.flows.predictions import CONFIG_FILE, RESULT_FILE
from fair_dagster.flows.services import Services
from fair_dagster.settings import Settings

if TYPE_CHECKING:
    from fair_dagster.pipelines.zenml.model_versions import ModelVersions

_PREDICTION_SUFFIXES = (".geojson", ".json", ".yaml")


@dataclass(frozen=True)
class FoundLineage:
    """The part of the graph around what was asked for.

    Attributes:
        roots: keys of it; several for the name of a finetuned model, a version each.
        others: other versions of the same base model or dataset, which have a lineage of their own.
        unread: files of predictions that could not be read, and so are not in the graph.
        damaged: items that could not be read, and so are not in the graph.
    """

    graph: Lineage
    roots: tuple[str, ...]
    others: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


def lineage(services: Services, name: str, *, published_only: bool = False) -> FoundLineage:
    """The lineage of an item, a finetuned model, one of its versions, or the file of a prediction.

    Args:
        published_only: leave out what only ZenML knows, and do not ask it.

    Raises:
        NotFoundError: nothing has that name.
        ServiceError: ZenML cannot be asked.
    """
    predictions, unread = read_predictions(services.settings)
    scans = [services.catalog.scan(collection) for collection in items.COLLECTIONS]
    published = [item for scan in scans for item in scan.items]
    damaged = [one.key for scan in scans for one in scan.damaged]
    for key in damaged:
        if key.id == name:
            services.catalog.get(key)  # It raises, and says what is wrong with the item.
    if name.endswith(_PREDICTION_SUFFIXES) or "/" in name:
        output = _output(predictions, services.settings, name)
        graph = graphs.lineage(published, (), predictions)
        roots = [f"{graphs.PREDICTIONS}/{output}"]
    else:
        start = _item(published, name)
        versions = [] if published_only else _versions(services.versions, name, start)
        graph = graphs.lineage(published, versions, predictions)
        roots = [str(ItemKey(start["collection"], start["id"]))] if start else _family(graph, name)
    if not roots:
        _refuse(services.catalog, name, published_only)
    others = [] if len(roots) > 1 else _siblings(graph, roots[0])
    return FoundLineage(graph.around(roots), tuple(roots), tuple(others), unread, tuple(map(str, damaged)))


def stale(catalog: CatalogStore) -> list[Stale]:
    """The active finetuned models of the catalog with a superseded parent."""
    return stale_models(item for collection in items.COLLECTIONS for item in catalog.scan(collection).items)


def item_markdown(catalog: CatalogStore, item: Item) -> str:
    """The lineage of an item for a materialization: parents, and how many items were made from it. Without ZenML.

    Items that cannot be read are the business of the collection's checks: a damaged child is not counted, and a damaged
    parent leaves the rest untold.
    """
    key = str(ItemKey(item["collection"], item["id"]))
    try:
        return views.markdown(graphs.lineage(_near(catalog, item)), key)
    except CatalogError as error:
        return f"{views.markdown(graphs.lineage([item]), key)}\n- relatives are not told: {error}"


def _near(catalog: CatalogStore, item: Item) -> list[Item]:
    """``item`` with its parents, the other versions of its family, and the models made from it."""
    near = [item, *(parent for key in parents_of(item) for parent in catalog.family(*key))]
    if item["collection"] != items.LOCAL_MODELS:
        family = (item["collection"], split_version_id(item["id"])[0])
        near += [other for other in catalog.family(*family) if other["id"] != item["id"]]
        children = (_in_short(entry) for entry in catalog.entries(items.LOCAL_MODELS))
        near += [child for child in children if family in parents_of(child)]
    return near


def _in_short(entry: Entry) -> Item:
    """What the catalog's index knows of a finetuned model, as an item: thousands are not read to be counted."""
    said = {
        "version": str(entry.number),
        "deprecated": entry.deprecated,
        "fair:base_model": entry.base_model,
        "fair:base_model_version": entry.base_model_version,
        "fair:dataset": entry.dataset,
        "fair:dataset_version": entry.dataset_version,
    }
    return {"id": entry.id, "collection": items.LOCAL_MODELS, "properties": said}


def read_predictions(settings: Settings) -> tuple[list[PredictionNode], tuple[str, ...]]:
    """What was predicted here, oldest first, and the files that cannot be read."""
    found, unread = [], []
    paths = settings.runs_path.glob(f"predict-*/{CONFIG_FILE}")
    for _, path in sorted((path.stat().st_mtime, path) for path in paths):
        try:
            found.append(_prediction(path))
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
            unread.append(str(path))
    return found, tuple(unread)


def _prediction(path: Path) -> PredictionNode:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    config: dict[str, Any] = yaml.load(path.read_text(), loader)  # noqa: S506 - a safe one either way
    item = config.get("item") or {}
    collection = str(item.get("collection", items.LOCAL_MODELS))
    output = str(config["output"])
    return PredictionNode(
        output=output,
        model=ItemKey(collection, str(config["model"])),
        version=str(item.get("version", "")),
        uid=str(item.get("uid", "")),
        model_uri=str(config.get("model_uri", "")),
        state=_outcome(path.with_name(RESULT_FILE), Path(output)),
    )


def _outcome(result: Path, output: Path) -> str:
    if not result.is_file():
        return "not finished"
    status = str(json.loads(result.read_text()).get("status"))
    return "gone" if status == "completed" and not output.is_file() else status


def _output(predictions: Iterable[PredictionNode], settings: Settings, name: str) -> str:
    """The prediction that wrote, or was told by, the file ``name``."""
    path = Path(name).expanduser().resolve()
    if path.name == CONFIG_FILE and path.is_file():
        return _prediction(path).output
    if any(prediction.output == str(path) for prediction in predictions):
        return str(path)
    problem = f"no prediction of this installation wrote {path}; {settings.runs_path} holds what it has run"
    raise NotFoundError(f"prediction {name!r}", [problem])


def _item(published: Iterable[Item], name: str) -> Item | None:
    """The item called ``name``; of a base model or dataset the active one is found by its version id, too."""
    slug, number = split_version_id(name)
    active = None
    for item in published:
        if item["id"] == name:
            return item
        if number is not None and item["id"] == slug and item["collection"] != items.LOCAL_MODELS:
            active = item if items.number_of(item) == number else active
    return active


def _versions(versions: "ModelVersions", name: str, start: Item | None) -> Sequence[VersionRecord]:
    """The versions in ZenML that belong into the graph: of a published one everything stands in the catalog."""
    if start is None:
        slug = split_version_id(name)[0]
        try:
            return () if slug_problems(slug) else versions.list(slug)
        except NotFoundError:
            return ()
    if start["collection"] == items.LOCAL_MODELS:
        return ()
    return versions.requested_with(split_version_id(start["id"])[0])


def _family(graph: Lineage, name: str) -> list[str]:
    """The version ``name``, or all versions of the finetuned model ``name``."""
    held = [node for node in graph.nodes.values() if node.collection == items.LOCAL_MODELS]
    exact = [node for node in held if node.id == name]
    chosen = exact or [node for node in held if split_version_id(node.id)[0] == name]
    chosen.sort(key=lambda node: split_version_id(node.id)[1] or 0)
    return [node.key for node in chosen if node.state != graphs.MISSING]


def _siblings(graph: Lineage, root: str) -> list[str]:
    node = graph.nodes[root]
    slug = split_version_id(node.id)[0]
    if node.collection not in (items.BASE_MODELS, items.DATASETS):
        return []
    found = [
        other
        for other in graph.nodes.values()
        if other.collection == node.collection and split_version_id(other.id)[0] == slug and other.key != root
    ]
    found.sort(key=lambda other: (len(other.version), other.version))
    return [_counted(graph, other) for other in found]


def _counted(graph: Lineage, node: Node) -> str:
    users = len(graph.children(node.key))
    return f"{node.collection}/{node.id} (version {node.version}, {node.state}, used by {users})"


def _refuse(catalog: CatalogStore, name: str, published_only: bool) -> None:
    """Say that nothing has that name, with names that are like it."""
    try:
        item_flow.find(catalog, name)
    except NotFoundError as error:
        beyond = "ZenML was not asked" if published_only else "nor is there such a model or version in ZenML"
        raise NotFoundError(error.subject, [*error.problems, beyond]) from error
    raise RefusedError(f"lineage of {name!r}", ["it was written this moment; ask again"])
